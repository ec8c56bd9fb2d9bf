//! Certificates: when they are given, both sides show one, signed by the cluster's own authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// This node's certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that signed the certificates of all nodes.
    pub ca: PathBuf,
    /// The name that every node's certificate bears; the host of a node's address when there is none.
    pub name: Option<String>,
}

/// What was read from the files.
pub struct Configs {
    pub acceptor: TlsAcceptor,
    pub connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files.
    pub fn load(&self) -> Result<Configs> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = &[&rustls::version::TLS13];
        let chain = certificates(&self.cert)?;
        let key = || PrivateKeyDer::from_pem_file(&self.key).map_err(|e| wrong(&self.key, e));
        let mut roots = RootCertStore::empty();
        for c in certificates(&self.ca)? {
            roots.add(c).map_err(|e| wrong(&self.ca, e))?;
        }
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build().map_err(|e| wrong(&self.ca, e))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|e| wrong(&self.cert, e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key()?)
            .map_err(|e| wrong(&self.cert, e))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|e| wrong(&self.cert, e))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key()?)
            .map_err(|e| wrong(&self.cert, e))?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = self.name.clone().map(|n| {
            ServerName::try_from(n.clone()).map_err(|_| Error::invalid(format!("{n:?} is no name that a certificate could bear")))
        });
        Ok(Configs {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            name: name.transpose()?,
        })
    }
}

impl Configs {
    /// The name that the certificate of the node at `address` must bear.
    pub fn name_of(&self, address: &str) -> Result<ServerName<'static>> {
        if let Some(n) = &self.name {
            return Ok(n.clone());
        }
        let host = address.rsplit_once(':').map_or(address, |(h, _)| h).trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(host.to_owned()).map_err(|_| Error::invalid(format!("{host:?} is no name that a certificate could bear")))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(|c| c.collect::<std::result::Result<Vec<_>, _>>());
    match found {
        Ok(c) if c.is_empty() => Err(wrong(path, "there is no certificate in it")),
        other => other.map_err(|e| wrong(path, e)),
    }
}

fn wrong(path: &Path, e: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {e}", path.display()))
}
