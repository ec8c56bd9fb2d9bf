//! How others are asked over HTTP, which targets and those that name targets have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::access::{Access, Header, Held};
use super::yaml::{Flag, list};
use crate::scalar::Scalar;
use crate::ship::{Credentials, Pem, Tls};

/// As it is written.
#[derive(Default, Deserialize)]
pub(super) struct Http {
    basic_auth: Option<Basic>,
    authorization: Option<Authorization>,
    bearer_token: Option<Scalar>,
    bearer_token_file: Option<PathBuf>,
    oauth2: Option<IgnoredAny>,
    tls_config: Option<TlsWritten>,
    proxy_url: Option<Scalar>,
    no_proxy: Option<Scalar>,
    proxy_from_environment: Option<Flag>,
    proxy_connect_header: Option<BTreeMap<String, IgnoredAny>>,
    follow_redirects: Option<Flag>,
    #[serde(default)]
    http_headers: Option<BTreeMap<String, HeaderWritten>>,
    /// HTTP/2 brings nothing for one page.
    #[serde(rename = "enable_http2")]
    _enable_http2: Option<Flag>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basic {
    #[serde(default)]
    username: Scalar,
    username_file: Option<PathBuf>,
    password: Option<Scalar>,
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorization {
    r#type: Option<String>,
    credentials: Option<Scalar>,
    credentials_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsWritten {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    insecure_skip_verify: Option<Flag>,
    min_version: Option<String>,
    max_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderWritten {
    #[serde(default, deserialize_with = "list")]
    values: Vec<Scalar>,
    #[serde(default, deserialize_with = "list")]
    secrets: Vec<Scalar>,
    #[serde(default, deserialize_with = "list")]
    files: Vec<PathBuf>,
}

/// Headers that are set otherwise, which Prometheus refuses too.
const RESERVED: [&str; 19] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "accept",
    "transfer-encoding",
    "trailer",
    "upgrade",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
];

impl Http {
    /// What it comes to; paths are relative to `directory`.
    pub fn access(self, directory: &Path) -> Result<Access> {
        if self.oauth2.is_some() {
            return Err(Error::invalid("oauth2: not honoured; use basic_auth or authorization, or a proxy that fetches the token"));
        }
        if self.proxy_from_environment == Some(Flag(true)) {
            return Err(Error::invalid("proxy_from_environment: not honoured; name the proxy by proxy_url"));
        }
        if self.proxy_connect_header.as_ref().is_some_and(|h| !h.is_empty()) {
            return Err(Error::invalid("proxy_connect_header: not honoured; put user and password into proxy_url"));
        }
        let text = |s: &Option<Scalar>| s.as_ref().map(|s| s.0.clone()).filter(|s| !s.is_empty());
        let (proxy, no_proxy) = (text(&self.proxy_url), text(&self.no_proxy));
        if proxy.is_none() && no_proxy.is_some() {
            return Err(Error::invalid("no_proxy: goes with proxy_url"));
        }
        Ok(Access {
            credentials: self.credentials(directory)?,
            tls: self.tls_config.map_or_else(|| Ok(Tls::default()), |t| t.tls(directory))?,
            proxy,
            no_proxy: no_proxy.unwrap_or_default(),
            follow_redirects: self.follow_redirects.is_none_or(|f| f.0),
            headers: headers(self.http_headers.unwrap_or_default(), directory)?,
        })
    }

    fn credentials(&self, directory: &Path) -> Result<Credentials> {
        let at = |p: &PathBuf| directory.join(p);
        let ways = [self.basic_auth.is_some(), self.authorization.is_some(), self.bearer_token.is_some(), self.bearer_token_file.is_some()];
        if ways.iter().filter(|w| **w).count() > 1 {
            return Err(Error::invalid("at most one of basic_auth, authorization, bearer_token, bearer_token_file"));
        }
        if let Some(b) = &self.basic_auth {
            return b.credentials(directory);
        }
        if let Some(a) = &self.authorization {
            let scheme = a.r#type.as_deref().map(str::trim).filter(|t| !t.is_empty()).unwrap_or("Bearer").to_owned();
            if scheme.eq_ignore_ascii_case("basic") {
                return Err(Error::invalid("authorization: the type cannot be Basic; use basic_auth"));
            }
            return Ok(match (&a.credentials, &a.credentials_file) {
                (Some(_), Some(_)) => return Err(Error::invalid("authorization: credentials and a file that holds them")),
                (_, Some(file)) => Credentials::SchemeFile(scheme, at(file)),
                (Some(c), None) => Credentials::Scheme(scheme, c.0.clone()),
                (None, None) => Credentials::None,
            });
        }
        Ok(match (&self.bearer_token, &self.bearer_token_file) {
            (Some(token), _) => Credentials::Bearer(token.0.clone()),
            (None, Some(file)) => Credentials::SchemeFile("Bearer".into(), at(file)),
            (None, None) => Credentials::None,
        })
    }
}

impl Basic {
    fn credentials(&self, directory: &Path) -> Result<Credentials> {
        let at = |p: &PathBuf| directory.join(p);
        if self.password.is_some() && self.password_file.is_some() {
            return Err(Error::invalid("basic_auth: a password and a file that holds one"));
        }
        let password = self.password.clone().unwrap_or_default().0;
        Ok(match (&self.username_file, &self.password_file) {
            (Some(_), _) if !self.username.0.is_empty() => return Err(Error::invalid("basic_auth: a username and a file that holds one")),
            (Some(user), Some(file)) => Credentials::BasicFiles(at(user), at(file)),
            (Some(user), None) => Credentials::UserFile(at(user), password),
            (None, Some(file)) => Credentials::BasicFile(self.username.0.clone(), at(file)),
            (None, None) => Credentials::Basic(self.username.0.clone(), password),
        })
    }
}

impl TlsWritten {
    fn tls(self, directory: &Path) -> Result<Tls> {
        let pem = |what: &str, text: Option<String>, file: Option<PathBuf>| match (text, file) {
            (Some(_), Some(_)) => Err(Error::invalid(format!("tls_config: {what} and {what}_file"))),
            (text, file) => Ok(text.map(Pem::Text).or_else(|| file.map(|f| Pem::File(directory.join(f))))),
        };
        let ca = pem("ca", self.ca, self.ca_file)?;
        let identity = match (pem("cert", self.cert, self.cert_file)?, pem("key", self.key, self.key_file)?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(Error::invalid("tls_config: cert_file and key_file go together")),
        };
        for (name, version, fine) in
            [("min_version", &self.min_version, &["TLS10", "TLS11", "TLS12"][..]), ("max_version", &self.max_version, &["TLS13"])]
        {
            if let Some(v) = version.as_deref().filter(|v| !fine.contains(v)) {
                return Err(Error::invalid(format!("tls_config.{name}: {v:?} is not honoured; TLS 1.2 and 1.3 are spoken")));
            }
        }
        Ok(Tls { ca, identity, insecure: self.insecure_skip_verify.is_some_and(|f| f.0) })
    }
}

fn headers(written: BTreeMap<String, HeaderWritten>, directory: &Path) -> Result<Vec<Header>> {
    let mut all = vec![];
    for (name, h) in written {
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Error::invalid(format!("http_headers: {name} is set otherwise")));
        }
        let texts = h.values.into_iter().chain(h.secrets).map(|v| Held::Text(v.0));
        let files = h.files.into_iter().map(|f| Held::File(directory.join(f)));
        all.extend(texts.chain(files).map(|value| Header { name: name.clone(), value }));
    }
    Ok(all)
}
