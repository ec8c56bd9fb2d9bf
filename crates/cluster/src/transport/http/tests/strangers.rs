//! Who is turned away, and what both sides say then.

use std::path::Path;
use std::time::Duration;

use base::Kind;
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::harness::{Ask, Side, ask, closed_port, figure, settings};
use crate::transport::http::{Settings, Tls};
use crate::transport::{Method, Transport};

const LONG: Duration = Duration::from_secs(30);
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// What the caller is told, and why the listener counted that it turned it away.
fn meet(caller: Settings, listener: Settings, reason: &str, kind: Kind) -> String {
    let listener = Side::with(listener, "127.0.0.1:0");
    let caller = Side::with(caller, "127.0.0.1:0");
    let e = ask(&caller.http, &listener.address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).unwrap_err();
    assert_eq!(e.kind(), kind, "{e}");
    assert_eq!(listener.service.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
    super::harness::until("counted", || figure(&listener.http, &format!("watchfire_cluster_refused_total{{reason=\"{reason}\"}}")) == 1);
    e.message().to_owned()
}

#[test]
fn a_stranger_is_told_what_to_set() {
    let ours = || settings("a", Some(super::harness::SECRET));
    let cases = [
        (settings("b", Some(super::harness::SECRET)), ours(), "cluster", "belongs to cluster \"a\" and this node to \"b\""),
        (settings("a", Some(OTHER)), ours(), "secret", "cluster.secret must be the same"),
        (settings("a", None), ours(), "secret", "this node has none: set cluster.secret"),
        (ours(), settings("a", None), "secret", "it has no secret and this node has one"),
    ];
    for (caller, listener, reason, words) in cases {
        let said = meet(caller, listener, reason, Kind::Forbidden);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_refusal_is_remembered_for_a_while() {
    let (a, b) = (Side::start("a", None), Side::start("b", None));
    for _ in 0..20 {
        assert!(ask(&a.http, &b.address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).is_err());
    }
    let met = figure(&b.http, "watchfire_cluster_refused_total{reason=\"cluster\"}");
    assert!(met < 5, "20 hellos knocked {met} times");
}

/// Speaks HTTP/2 and nothing of the protocol: no step can be left out, no proof made up.
#[test]
fn who_skips_a_step_gets_nowhere() {
    use http_body_util::Full;
    use hyper::client::conn::http2;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let side = Side::start("a", Some(super::harness::SECRET));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(&side.address).await.unwrap();
        let (mut sender, connection) = http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let names = [("watchfire-cluster", "a"), ("watchfire-version", "2"), ("watchfire-secret", "yes")];
        let nonce = ("watchfire-nonce", "00112233445566778899aabbccddeeff");
        let call = [("watchfire-call", "1"), ("watchfire-body", "00"), ("watchfire-proof", "00")];
        type Headers = Vec<(&'static str, &'static str)>;
        let steps: [(&str, Headers, u16); 7] = [
            ("hello", call.to_vec(), 403),
            ("prove", [&names[..], &[("watchfire-proof", "")]].concat(), 403),
            ("open", [&names[..2], &[("watchfire-secret", "yes"), nonce]].concat(), 200),
            ("hello", call.to_vec(), 403),
            ("prove", [&names[..], &[("watchfire-proof", "00")]].concat(), 403),
            ("nonsense", vec![], 404),
            ("open", [&[("watchfire-cluster", "a"), ("watchfire-version", "9")][..], &names[2..]].concat(), 403),
        ];
        for (step, headers, want) in steps {
            let mut request = hyper::Request::post(format!("http://{}/cluster/v1/{step}", side.address));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let response = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
            assert_eq!(response.status().as_u16(), want, "{step}");
        }
    });
    assert_eq!(figure(&side.http, "watchfire_cluster_refused_total{reason=\"version\"}"), 1);
    assert_eq!(side.service.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}

/// An authority, and certificates of nodes signed by it.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }
    /// Files for a node whose certificate bears `host`; `ca` is whom it trusts.
    #[allow(clippy::disallowed_methods)] // outside any data directory
    fn node(&self, dir: &Path, name: &str, host: &str, ca: &Authority) -> Tls {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let write = |ending: &str, text: String| {
            let path = dir.join(format!("{name}.{ending}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        Tls { cert: write("crt", cert.pem()), key: write("key", key.serialize_pem()), ca: write("ca", ca.0.pem()), name: None }
    }
}

fn with_tls(tls: Tls) -> Settings {
    Settings { tls: Some(tls), ..settings("a", Some(super::harness::SECRET)) }
}

#[test]
fn certificates_of_one_authority_meet() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    let a = Side::with(with_tls(ours.node(dir.path(), "a", "127.0.0.1", &ours)), "127.0.0.1:0");
    let b = Side::with(with_tls(ours.node(dir.path(), "b", "127.0.0.1", &ours)), "127.0.0.1:0");
    let body = Bytes::from(vec![5; 1 << 20]);
    assert!(ask(&a.http, &b.address, Method::Append, &Ask::Echo(body), LONG).is_ok());
    let messages = b.http.stream(&a.address, Method::Scan, Ask::Send { messages: 20, bytes: 100_000 }.encode(), LONG).unwrap();
    assert_eq!(messages.filter(Result::is_ok).count(), 20);
    // One name for all of them, where addresses change.
    let named = |name: &str| Tls { name: Some("nodes.test".into()), ..ours.node(dir.path(), name, "nodes.test", &ours) };
    let (c, d) = (Side::with(with_tls(named("c")), "127.0.0.1:0"), Side::with(with_tls(named("d")), "127.0.0.1:0"));
    assert!(ask(&c.http, &d.address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).is_ok());
    let e = ask(&a.http, &d.address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).unwrap_err();
    assert!(e.message().contains("its certificate is not accepted"), "{e}");
}

#[test]
fn a_stranger_with_a_certificate_of_its_own_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let us = || with_tls(ours.node(dir.path(), "us", "127.0.0.1", &ours));
    // It trusts us, we do not trust it.
    let said = meet(with_tls(theirs.node(dir.path(), "them", "127.0.0.1", &ours)), us(), "tls", Kind::Forbidden);
    assert!(said.contains("refuses this node's certificate"), "{said}");
    // It does not trust us.
    let said = meet(with_tls(ours.node(dir.path(), "other", "127.0.0.1", &theirs)), us(), "tls", Kind::Forbidden);
    assert!(said.contains("its certificate is not accepted"), "{said}");
    // No TLS at all, on either side.
    let said = meet(settings("a", Some(super::harness::SECRET)), us(), "tls", Kind::Unavailable);
    assert!(said.contains("have both nodes cluster.tls or none?") || said.contains("does not speak"), "{said}");
    let plain = Side::start("a", Some(super::harness::SECRET));
    let tls = Side::with(us(), "127.0.0.1:0");
    let e = ask(&tls.http, &plain.address, Method::Hello, &Ask::Echo(Bytes::new()), LONG).unwrap_err();
    assert!(e.message().contains("cluster.tls"), "{e}");
}

#[test]
fn wrong_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    let good = ours.node(dir.path(), "a", "127.0.0.1", &ours);
    let load = |tls: &Tls| tls.load().map(|_| ()).unwrap_err().message().to_owned();
    assert!(good.load().is_ok());
    assert!(load(&Tls { cert: dir.path().join("none"), ..good.clone() }).contains("none"));
    assert!(load(&Tls { ca: good.key.clone(), ..good.clone() }).contains("a.key: there is no certificate in it"));
    let other = ours.node(dir.path(), "b", "127.0.0.1", &ours);
    assert!(load(&Tls { key: other.key, ..good.clone() }).contains("a.crt"));
    assert!(load(&Tls { name: Some("not a name".into()), ..good }).contains("not a name"));
    assert!(closed_port().starts_with("127."));
}
