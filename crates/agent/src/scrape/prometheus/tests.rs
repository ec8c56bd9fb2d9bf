use super::*;
use crate::ship::{Credentials, Pem, Tls};

const FILE: &str = r#"
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels: { cluster: a }
  sample_limit: 500
alerting: { alertmanagers: [] }
rule_files: ["*.yml"]
remote_write: [{ url: "http://x" }]
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["a:9100", "b:9100"]
        labels: { rack: 7 }
      - targets: ["c:9100"]
    relabel_configs:
      - { source_labels: [__address__], regex: "(.*):9100", target_label: instance }
    metric_relabel_configs:
      - { source_labels: [__name__], regex: "go_.*", action: drop }
  - job_name: probe
    scrape_interval: 5s
    metrics_path: /probe
    scheme: https
    params: { module: [http_2xx] }
    honor_labels: true
    honor_timestamps: false
    sample_limit: 0
    body_size_limit: 1MB
    target_limit: 3
    label_limit: 30
    basic_auth: { username: u, password_file: secret }
    tls_config: { ca_file: ca.pem, cert_file: c.pem, key_file: /k.pem, insecure_skip_verify: true }
    proxy_url: http://proxy:3128
    follow_redirects: false
    enable_http2: true
    file_sd_configs: [{ files: ["targets/*.json"], refresh_interval: 5m }]
    http_sd_configs: [{ url: "http://sd/x", refresh_interval: 2m }]
    dns_sd_configs: [{ names: ["_m._tcp.example"] }, { names: [m.example], type: A, port: 9100 }]
    docker_sd_configs: [{ host: "unix:///var/run/docker.sock" }]
"#;

#[test]
fn a_file_as_people_have_it() {
    let c = parse(FILE, Path::new("/etc/prometheus")).unwrap();
    assert_eq!(c.others, ["alerting", "remote_write", "rule_files"]);
    let [node, probe] = &c.jobs[..] else { panic!("{:?}", c.jobs) };
    assert_eq!((node.interval, node.timeout, node.limits.samples), (Duration::from_secs(15), Duration::from_secs(10), 500));
    assert_eq!(node.targets[0].targets, ["a:9100", "b:9100"]);
    assert_eq!((node.targets[0].labels["rack"].as_str(), node.targets[1].labels.len()), ("7", 0));
    assert_eq!((node.relabel.len(), node.metric_relabel.len(), node.honor_timestamps), (1, 1, true));
    assert_eq!(
        (probe.interval, probe.timeout),
        (Duration::from_secs(5), Duration::from_secs(5)),
        "a timeout is no longer than the interval"
    );
    assert_eq!(
        (probe.path.as_str(), probe.scheme.as_str(), &probe.params["module"][..]),
        ("/probe", "https", &["http_2xx".to_owned()][..])
    );
    assert!(probe.honor_labels && !probe.honor_timestamps && !probe.access.follow_redirects);
    let Limits { body_bytes, samples, targets, labels, .. } = probe.limits;
    assert_eq!((body_bytes, samples, targets, labels), (1 << 20, Limits::default().samples, 3, 30));
    assert_eq!(probe.access.credentials, Credentials::BasicFile("u".into(), "/etc/prometheus/secret".into()));
    let identity = Some((Pem::File("/etc/prometheus/c.pem".into()), Pem::File("/k.pem".into())));
    assert_eq!(probe.access.tls, Tls { ca: Some(Pem::File("/etc/prometheus/ca.pem".into())), identity, insecure: true });
    assert_eq!(probe.access.proxy.as_deref(), Some("http://proxy:3128"));
    let places: Vec<String> = probe.lookups.iter().map(|l| format!("{:?} {:?}", l.place, l.every)).collect();
    assert!(places[0].starts_with(r#"Files("/etc/prometheus/targets/*.json")"#), "{places:?}");
    assert!(places[1].starts_with(r#"Http("http://sd/x", Some("#) && places[1].ends_with(" 120s"), "{places:?}");
    assert!(places[2].contains("kind: Srv, port: 0") && places[3].contains("kind: A, port: 9100") && places[4].contains("docker.sock"));
}

#[test]
fn forms_of_pages() {
    let jobs = |global: &str, keys: &str| {
        let text = format!("{{global: {{{global}}}, scrape_configs: [{{job_name: a, {keys}}}]}}");
        parse(&text, Path::new("/")).unwrap_or_else(|e| panic!("{text}: {e}")).jobs.remove(0)
    };
    let (native, classic) = (|| Protocol::defaults(true), || Protocol::defaults(false));
    for (global, keys, protocols, is_native, is_classic) in [
        ("", "native_histogram_bucket_limit: 0", classic(), false, false),
        ("", "scrape_native_histograms: true", native(), true, false),
        ("scrape_native_histograms: true", "scrape_classic_histograms: true", native(), true, true),
        ("scrape_native_histograms: true", "scrape_native_histograms: false", classic(), false, false),
        ("always_scrape_classic_histograms: true", "always_scrape_classic_histograms: false", classic(), false, false),
        ("scrape_protocols: [PrometheusProto]", "", vec![Protocol::Protobuf], false, false),
        ("scrape_protocols: [PrometheusProto]", "scrape_protocols: [PrometheusText0.0.4]", vec![Protocol::Text0], false, false),
    ] {
        let job = jobs(global, keys);
        assert_eq!((job.protocols, job.histograms), (protocols, Histograms { native: is_native, classic: is_classic }), "{global} {keys}");
    }
    assert_eq!(jobs("", "fallback_scrape_protocol: PrometheusProto").fallback, Some(Protocol::Protobuf));
}

#[test]
fn what_is_not_honoured_is_named() {
    let one = |keys: &str| format!("scrape_configs: [{{job_name: a, {keys}}}]");
    for (text, part) in [
        ("nonsense: 1".to_owned(), "nonsense"),
        ("global: {nonsense: 1}".to_owned(), "global: nonsense"),
        ("scrape_config_files: [x]".to_owned(), "scrape_config_files"),
        (one("kubernetes_sd_configs: [{role: pod}]"), "job \"a\": kubernetes_sd_configs"),
        (one("nonsense_sd_configs: []"), "nonsense_sd_configs"),
        (one("tls_config: {min_version: TLS13}"), "tls_config.min_version"),
        (one("tls_config: {ca: x, ca_file: x}"), "ca and ca_file"),
        (one("proxy_from_environment: true"), "proxy_from_environment"),
        (one("proxy_connect_header: {a: [b]}"), "proxy_connect_header"),
        (one("no_proxy: x"), "no_proxy"),
        (one("http_headers: {Authorization: {values: [x]}}"), "Authorization"),
        (one("http_sd_configs: [{url: x, nonsense: 1}]"), "http_sd_configs: nonsense"),
        (one("metric_name_validation_scheme: legacy"), "needs a metric_name_escaping_scheme"),
        (one("metric_name_validation_scheme: x"), "metric_name_validation_scheme"),
        (one("metric_name_escaping_scheme: x"), "metric_name_escaping_scheme"),
        // What Prometheus refuses, too.
        (one("scrape_interval: 1.5s"), "1.5s"),
        (one("scrape_interval: 1s1m"), "1s1m"),
        (one("authorization: {type: basic, credentials: x}"), "use basic_auth"),
        (one("static_configs: [{targets: [\"http://h:1/metrics\"]}]"), "http://h:1/metrics"),
        ("scrape_configs: [{job_name: \"\"}]".to_owned(), "job_name: is empty"),
        ("global: {scrape_interval: 5s, scrape_timeout: 10s}".to_owned(), "global.scrape_timeout"),
        (one("oauth2: {}"), "oauth2"),
        (one("tls_config: {server_name: x}"), "server_name"),
        (one("tls_config: {cert_file: x}"), "go together"),
        (one("http_sd_configs: [{url: x, oauth2: {}}]"), "oauth2"),
        (one("docker_sd_configs: [{host: x, nonsense: []}]"), "docker_sd_configs: nonsense"),
        (one("dns_sd_configs: [{names: [x], type: A}]"), "need a port"),
        (one("dns_sd_configs: [{names: [x], type: TXT}]"), "TXT"),
        (one("scrape_interval: soon"), "soon"),
        (one("scrape_protocols: [PrometheusProto, nonsense]"), "scrape_protocols: \"nonsense\""),
        (one("scrape_protocols: []"), "no form"),
        (one("fallback_scrape_protocol: x"), "fallback_scrape_protocol"),
        (one("native_histogram_bucket_limit: 100"), "native_histogram_bucket_limit"),
        (one("native_histogram_min_bucket_factor: 1.1"), "native_histogram_min_bucket_factor"),
        (one("convert_classic_histograms_to_nhcb: true"), "convert_classic_histograms_to_nhcb"),
        (one("scrape_interval: 5s, scrape_timeout: 10s"), "longer than the interval"),
        (one("body_size_limit: much"), "much"),
        (one("basic_auth: {username: a}, bearer_token: b"), "at most one"),
        (one("relabel_configs: [{action: nonsense}]"), "nonsense"),
        ("scrape_configs: [{job_name: a}, {job_name: a}]".to_owned(), "two of that name"),
        ("scrape_configs: [{}]".to_owned(), "job_name"),
    ] {
        let e = parse(&text, Path::new("/")).expect_err(&text).to_string();
        assert!(e.contains(part), "{text}: {e}");
    }
    assert!(["", "{}", "global: {}"].iter().all(|t| parse(t, Path::new("/")).unwrap().jobs.is_empty()));
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("10", Some(10)),
        ("10MB", Some(10 << 20)),
        ("1.5KiB", Some(1536)),
        ("2G", Some(2 << 30)),
        ("1PB", Some(1 << 50)),
        ("MB", None),
        ("1XB", None),
    ] {
        assert_eq!(size(text).ok(), bytes, "{text}");
    }
}

#[test]
fn what_prometheus_takes() {
    const FILE: &str = r#"
scrape_config_files: []
global: { scrape_interval: 20s, scrape_timeout: 0s, metric_name_escaping_scheme: dots }
base: &base { honor_labels: yes, sample_limit: 1_000, track_timestamps_staleness: true, relabel_configs: }
"#;
    let text = FILE.replace("base: &base", "alerting: &base")
        + r#"
scrape_configs:
  - <<: *base
    job_name: a
    scrape_interval: 0s
    ec2_sd_configs: []
    body_size_limit: 1PB
    basic_auth: { username_file: user, password_file: secret }
    tls_config: { ca: x, cert: y, key: z, insecure_skip_verify: off, min_version: TLS12 }
    proxy_url: http://p:1
    no_proxy: a.b
    http_headers: { X-A: { values: [1], secrets: [s], files: [f] } }
    http_sd_configs: [{ url: "http://sd", authorization: { credentials: c }, follow_redirects: no, proxy_url: "http://q:1" }]
    docker_sd_configs: [{ host: "tcp://d:1", port: 8080, host_networking_host: node, match_first_network: false, filters: [{ name: n, values: [v] }], tls_config: { ca_file: ca } }]
    metric_name_validation_scheme: legacy
    metric_name_escaping_scheme: values
"#;
    let c = parse(&text, Path::new("/d")).unwrap();
    let job = &c.jobs[0];
    assert!(job.honor_labels && job.ends_timestamped && job.has_legacy_names);
    assert_eq!((job.interval, job.timeout), (Duration::from_secs(20), Duration::from_secs(10)));
    assert_eq!((job.limits.samples, job.limits.body_bytes, job.escaping), (1000, 1 << 50, Escaping::Values));
    assert_eq!(job.access.credentials, Credentials::BasicFiles("/d/user".into(), "/d/secret".into()));
    let identity = Some((Pem::Text("y".into()), Pem::Text("z".into())));
    assert_eq!(job.access.tls, Tls { ca: Some(Pem::Text("x".into())), identity, insecure: false });
    assert_eq!((job.access.proxy.as_deref(), job.access.no_proxy.as_str(), job.access.headers.len()), (Some("http://p:1"), "a.b", 3));
    let Place::Http(_, Some(sd)) = &job.lookups[0].place else { panic!("{:?}", job.lookups) };
    assert_eq!((&sd.credentials, sd.follow_redirects), (&Credentials::Scheme("Bearer".into(), "c".into()), false));
    let Place::Docker(d) = &job.lookups[1].place else { panic!("{:?}", job.lookups) };
    assert_eq!((d.port, d.host.as_str(), d.first_network, d.filters.len()), (8080, "node", false, 1));
    assert_eq!(d.access.tls.ca, Some(Pem::File("/d/ca".into())));
    let of = |global: &str, keys: &str| {
        let text = format!("{{global: {{{global}}}, scrape_configs: [{{job_name: a, {keys}}}]}}");
        parse(&text, Path::new("/")).map(|c| (c.jobs[0].escaping, c.jobs[0].has_legacy_names)).ok()
    };
    assert_eq!(of("metric_name_validation_scheme: legacy", ""), Some((Escaping::Underscores, true)));
    assert_eq!(of("metric_name_validation_scheme: legacy", "metric_name_validation_scheme: utf8"), Some((Escaping::Underscores, false)));
    assert_eq!(of("metric_name_escaping_scheme: dots", "metric_name_validation_scheme: legacy"), Some((Escaping::Dots, true)));
    assert_eq!(of("", ""), Some((Escaping::AllowUtf8, false)));
}
