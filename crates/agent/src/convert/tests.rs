use super::*;
use crate::stages::Stages;

const HOST: &str = include_str!("fixtures/host.alloy");
const WANTED: &str = include_str!("fixtures/host.yaml");

#[test]
fn a_host_is_carried_over() {
    let got = convert(HOST).unwrap().yaml;
    assert_eq!(got, WANTED, "\n{got}");
}

#[test]
fn what_is_written_is_what_is_read() {
    let plan = convert(HOST).unwrap().plan;
    assert_eq!(plan.sources.len(), 6);
    let mut names: Vec<&str> = plan.endpoints.iter().map(|e| e.name.as_str()).collect();
    names.dedup();
    assert_eq!(names, ["tempo", "monitoring_loki", "monitoring_remote_write"]);
    for s in &plan.sources {
        Stages::from_value(s.stages.clone()).unwrap();
        for rule in s.relabel.iter().chain(&s.metric_relabel) {
            serde_yaml_ng::from_value::<crate::relabel::Rule>(rule.clone()).unwrap();
        }
        let known = |to: &String| plan.endpoints.iter().any(|e| e.name == *to);
        assert!(!s.to.is_empty() && s.to.iter().all(known), "{s:?}");
    }
}

#[test]
fn sources_of_one_label_get_names_of_their_own() {
    let c = convert("loki.source.api \"d\" { forward_to = [loki.write.d.receiver] }\nloki.source.syslog \"d\" { forward_to = [loki.write.d.receiver] }\nloki.write \"d\" { endpoint { url = \"u\" } }").unwrap();
    let names: Vec<&str> = c.plan.sources.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["d", "d_syslog"]);
}

fn notes(text: &str) -> Vec<String> {
    convert(text).unwrap().notes.iter().map(Note::shown).collect()
}

/// Files, the line that is spoken of, and what is said.
#[test]
fn what_is_lost_on_the_way_is_named_with_its_line() {
    for (text, line, wanted) in [
        ("\nloki.source.kafka \"k\" { }", 2, "this component has no counterpart"),
        ("loki.source.api \"a\" {\n forward_to = [loki.write.x.receiver]\n}", 2, "there is no receiver loki.write.x.receiver"),
        ("loki.source.api \"a\" {\n forward_to = module.exports\n}", 2, "leads nowhere that the file alone tells"),
        ("loki.write \"w\" {\n endpoint {\n  url = local.file.u.content\n }\n}", 3, "url is the value of local.file.u.content"),
        ("loki.write \"w\" {\n endpoint {\n  url = \"u\"\n  oauth2 { }\n }\n}", 4, "oauth2"),
        ("loki.process \"p\" {\n forward_to = []\n}", 1, "nothing that was carried over leads here"),
        (
            "loki.source.api \"a\" {\n forward_to = [loki.process.p.receiver]\n}\nloki.process \"p\" {\n forward_to = []\n stage.regex {\n  expression = \"(\"\n }\n}",
            6,
            "invalid expression",
        ),
        (
            "loki.source.api \"a\" {\n forward_to = [loki.relabel.p.receiver]\n}\nloki.relabel \"p\" {\n forward_to = []\n rule {\n  action = \"nope\"\n }\n}",
            6,
            "unknown relabel action",
        ),
        ("x = 1", 1, "x has no counterpart"),
    ] {
        let prefix = format!("line {line}: ");
        let said = notes(text);
        assert!(said.iter().any(|n| n.starts_with(&prefix) && n.contains(wanted)), "{text}: {said:?}");
    }
}

#[test]
fn circles_end() {
    let said = notes(
        "loki.source.api \"a\" { forward_to = [loki.process.p.receiver] }\nloki.process \"p\" { forward_to = [loki.process.p.receiver] }\nloki.source.file \"f\" {\n targets = discovery.relabel.r.output\n forward_to = []\n}\ndiscovery.relabel \"r\" { targets = discovery.relabel.r.output }",
    );
    assert!(said.iter().any(|n| n.contains("circle")), "{said:?}");
}

#[test]
fn several_ways_and_endpoints() {
    let text = "loki.source.api \"a\" { forward_to = [loki.write.w.receiver, loki.process.p.receiver] }
loki.process \"p\" {
  stage.decolorize { }
  forward_to = [loki.write.w.receiver]
}
loki.write \"w\" {
  endpoint { url = \"1\" }
  endpoint {
    url = \"2\"
    name = \"second\"
  }
}";
    let c = convert(text).unwrap();
    let names: Vec<&str> = c.plan.endpoints.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["w_1", "w_second"]);
    let sources: Vec<(&str, usize, usize)> = c.plan.sources.iter().map(|s| (s.name.as_str(), s.stages.len(), s.to.len())).collect();
    assert_eq!(sources, [("a", 0, 2), ("a_2", 1, 2)]);
}

#[test]
fn beliefs_are_named() {
    let plain = notes("loki.write \"w\" {\n endpoint { url = \"u\" }\n}");
    assert!(plain.iter().any(|n| n.starts_with("line 1: ") && n.contains("without a WAL")), "{plain:?}");
    let wal = notes("loki.write \"w\" {\n endpoint { url = \"u\" }\n wal {\n  enabled = true\n  max_segment_age = \"1m\"\n }\n}");
    assert!(wal.iter().any(|n| n.starts_with("line 5: ") && n.contains("deleted at that age, whether it was sent or not")), "{wal:?}");
    assert!(wal.iter().any(|n| n.contains("loki.write.w/wal") && n.contains("protects nothing")), "{wal:?}");
}

#[test]
fn a_file_that_is_none_is_refused_with_its_place() {
    let e = convert("loki.write \"w\" {\n  endpoint = \n}").unwrap_err();
    assert!(e.message().starts_with("parse error at line 3, col 1"), "{e}");
}

/// Files, a key of the settings under `agent`, and what it has.
#[test]
fn sections_are_as_the_agent_has_them() {
    const SEND: &str = "prometheus.remote_write \"w\" {\n endpoint { url = \"u\" }\n external_labels = { a = \"1\", b = \"2\" }\n}\n";
    for (text, key, wanted) in [
        (
            "discovery.docker \"d\" {\n host = \"unix:///s\"\n filter {\n  name = \"label\"\n  values = [\"x=y\"]\n }\n filter {\n  name = \"name\"\n  values = [\"web\"]\n }\n}
prometheus.scrape \"s\" {\n targets = discovery.docker.d.targets\n sample_limit = 10\n metrics_path = \"/m\"\n forward_to = [prometheus.remote_write.w.receiver]\n}",
            "scrape",
            "[{job: s, docker: {endpoint: 'unix:///s', include_labels: [x=y], include_names: ['*web*']}, interval: 1m, path: /m,
              limits: {samples: 10}, labels: {a: '1', b: '2'}, to: [w]}]",
        ),
        // A target's own labels go before those of the endpoint, and other labels are another job.
        (
            "prometheus.scrape \"s\" {\n targets = [{ __address__ = \"h:1\", a = \"x\" }, { __address__ = \"h:2\" }]\n scrape_interval = \"5s\"\n forward_to = [prometheus.remote_write.w.receiver]\n}",
            "scrape",
            "[{job: s, targets: ['h:2'], interval: 5s, labels: {a: '1', b: '2'}, to: [w]},
              {job: s, targets: ['h:1'], interval: 5s, labels: {a: x, b: '2'}, to: [w]}]",
        ),
        ("", "host", "{enabled: false}"),
    ] {
        let yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(&convert(&format!("{text}\n{SEND}")).unwrap().yaml).unwrap();
        let wanted: serde_yaml_ng::Value = serde_yaml_ng::from_str(wanted).unwrap();
        assert_eq!(yaml["agent"]["sources"][key], wanted, "{text}");
    }
}

#[test]
fn what_an_endpoint_cannot_do_is_named() {
    let said = notes("loki.write \"d\" {\n endpoint {\n  url = \"u\"\n  headers = { \"X-A\" = \"b\" }\n }\n}");
    assert!(said.iter().any(|n| n.starts_with("line 1: ") && n.contains("the header X-A has no counterpart")), "{said:?}");
}

#[test]
fn receivers_and_what_the_system_logs() {
    let c = convert(
        "loki.source.api \"push\" {
 http {
  listen_address = \"0.0.0.0\"
  listen_port = 3500
 }
 labels = { via = \"agent\" }
 forward_to = [loki.write.d.receiver]
}
loki.source.awsfirehose \"aws\" {
 access_key = sys.env(\"KEY\")
 http { listen_port = 9999 }
 forward_to = [loki.write.d.receiver]
}
loki.source.syslog \"net\" {
 listener {
  address = \"0.0.0.0:1514\"
  labels = { job = \"net\" }
 }
 listener {
  address = \"0.0.0.0:1515\"
  protocol = \"udp\"
 }
 forward_to = [loki.write.d.receiver]
}
loki.source.journal \"j\" {
 path = \"/j\"
 matches = \"_X=1\"
 forward_to = [loki.write.d.receiver]
}
loki.write \"d\" {
 endpoint { url = \"u\" }
}
loki.write \"e\" {
 endpoint { url = \"v\" }
}",
    )
    .unwrap();
    let yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(&c.yaml).unwrap();
    let wanted = "{loki: {stages: [{static_labels: {via: agent}}]}, listen: ['0.0.0.0:3500', '0.0.0.0:9999'], insecure: true, firehose: {access_key: '${KEY}'}}";
    assert_eq!(yaml["agent"]["receive"], serde_yaml_ng::from_str::<serde_yaml_ng::Value>(wanted).unwrap());
    let wanted = "{host: {enabled: false}, syslog: [{name: net, tcp: '0.0.0.0:1514', udp: '0.0.0.0:1515', job: net, to: [d]}],
                   journal: [{name: j, from: start, directory: /j, to: [d]}]}";
    assert_eq!(yaml["agent"]["sources"], serde_yaml_ng::from_str::<serde_yaml_ng::Value>(wanted).unwrap());
    let said: Vec<String> = c.notes.iter().map(Note::shown).collect();
    for (line, wanted) in [
        (1, "anybody who reaches 0.0.0.0:3500 may send"),
        (1, "also to e"),
        (9, "all receivers listen at all addresses: 0.0.0.0:3500, 0.0.0.0:9999"),
        (9, "anybody who reaches 0.0.0.0:9999 may send"),
        (25, "matches has no counterpart"),
    ] {
        let prefix = format!("line {line}: ");
        assert!(said.iter().any(|n| n.starts_with(&prefix) && n.contains(wanted)), "{wanted}: {said:#?}");
    }
}
