use super::*;

fn rules(yaml: &str) -> Result<Vec<Rule>, String> {
    serde_yaml_ng::from_str(yaml).map_err(|e| e.to_string())
}

/// `a=1 b=2` as a label set.
fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split_whitespace().map(|p| p.split_once('=').expect(p))).unwrap()
}

/// Rules, what goes in, what comes out; `-` when it is dropped.
const CASES: &[(&str, &str, &str)] = &[
    ("[{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}]", "a=foo", "a=foo d=choo-choo"),
    // The second rule sees what the first wrote.
    (
        "[{source_labels: [a, b], regex: 'x(.*);(.*)z', target_label: a, replacement: '$2$1'}, {source_labels: [a], target_label: c}]",
        "a=xp b=qz",
        "a=qp b=qz c=qp",
    ),
    ("[{source_labels: [a], regex: '.*o.*', action: drop}]", "a=foo", "-"),
    ("[{source_labels: [a], regex: 'f|o', action: drop}]", "a=foo", "a=foo"),
    ("[{source_labels: [a], regex: nothing, action: keep}]", "a=foo", "-"),
    ("[{source_labels: [a], regex: 'f.*', action: Keep}]", "a=foo", "a=foo"),
    ("[{source_labels: [a], regex: f, target_label: b, replacement: bar}]", "a=boo", "a=boo"),
    // An empty result removes the label; a group that does not exist is empty.
    ("[{source_labels: [a], regex: '(f).*', target_label: $1, replacement: $2}]", "a=foo f=baz", "a=foo"),
    ("[{source_labels: [a], regex: 's-([^-]+)-(.+)', target_label: '${1}', replacement: '${2}'}]", "a=s-n-v", "a=s-n-v n=v"),
    ("[{source_labels: [a], regex: 's-([^-]+)-(.+)', target_label: '${3}', replacement: '${1}'}]", "a=s-n-v", "a=s-n-v"),
    // The longest name is taken after `$`: `$1x` is the group named `1x`.
    ("[{source_labels: [a], target_label: b, replacement: '$1x'}]", "a=1 b=2", "a=1"),
    ("[{source_labels: [a], target_label: b, replacement: '$$1'}]", "a=1", "a=1 b=$1"),
    // Without sources there is still the empty text to match.
    ("[{target_label: env, replacement: prod}]", "a=1", "a=1 env=prod"),
    ("[{target_label: a, replacement: ''}]", "a=1 b=2", "b=2"),
    ("[{source_labels: [a, none, b], separator: '/', target_label: c}]", "a=1 b=2", "a=1 b=2 c=1//2"),
    ("[{source_labels: [port], regex: 9100, action: keep}]", "port=9100", "port=9100"),
    // The figures of Prometheus' own tests, so that shards agree.
    ("[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]", "c=baz", "c=baz d=976"),
    ("[{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}]", "a=1 b1=2 b2=3", "a=1 b1=2 b2=3 bar_b1=2 bar_b2=3"),
    ("[{regex: '__meta_(my.*)', action: labelmap}]", "__meta_my_x=1 __meta_o=2", "__meta_my_x=1 __meta_o=2 my_x=1"),
    ("[{regex: '(b.*)', action: labelkeep}]", "a=1 b1=2", "b1=2"),
    ("[{regex: '(b.*)', action: labeldrop}]", "a=1 b1=2", "a=1"),
    ("[{source_labels: [a], target_label: l, action: lowercase}]", "a=bAr1ß", "a=bAr1ß l=bar1ß"),
    ("[{source_labels: [a], target_label: u, action: uppercase}]", "a=bAr1ß", "a=bAr1ß u=BAR1ß"),
    ("[{source_labels: [a], target_label: b, action: keepequal}]", "a=1 b=1", "a=1 b=1"),
    ("[{source_labels: [a], target_label: b, action: keepequal}]", "a=1 b=2", "-"),
    ("[{source_labels: [a], target_label: b, action: dropequal}]", "a=1 b=1", "-"),
    ("[{source_labels: [a], target_label: none, action: dropequal}]", "a=1", "a=1"),
    // Names in UTF-8, as Prometheus allows since 3.0.
    ("[{source_labels: [service.name], target_label: job.x}]", "service.name=api", "job.x=api service.name=api"),
    // Docker discovery as people have it.
    (
        "[{source_labels: [__meta_docker_container_name], regex: '/(.*)', target_label: container}]",
        "__meta_docker_container_name=/web-1",
        "__meta_docker_container_name=/web-1 container=web-1",
    ),
];

#[test]
fn rules_do_what_prometheus_does() {
    for (yaml, from, to) in CASES {
        let got = apply(&rules(yaml).expect(yaml), &labels(from));
        let want = (*to != "-").then(|| labels(to));
        assert_eq!(got, want, "{yaml} on {from}");
    }
}

#[test]
fn a_dot_matches_a_line_break() {
    let l = Labels::from_pairs([("a", "line1\nline2")]).unwrap();
    let got = apply(&rules("[{source_labels: [a], regex: 'line1.*line2', target_label: d, replacement: 'm${1}'}]").unwrap(), &l);
    assert_eq!(got.unwrap().get("d"), Some("m"));
    let got = apply(
        &rules("[{source_labels: [a], target_label: b, action: hashmod, modulus: 1000}]").unwrap(),
        &Labels::from_pairs([("a", "foo\nbar")]).unwrap(),
    );
    assert_eq!(got.unwrap().get("b"), Some("734"));
}

#[test]
fn what_is_wrong_is_said() {
    for (yaml, wanted) in [
        ("[{action: kep}]", "did you mean \"keep\"?"),
        ("[{action: hashmod, target_label: a}]", "non-zero modulus"),
        ("[{action: replace}]", "replace action requires 'target_label'"),
        ("[{action: lowercase}]", "lowercase action requires 'target_label'"),
        ("[{action: uppercase, target_label: a, replacement: x}]", "'replacement' can not be set for uppercase"),
        ("[{action: keepequal, target_label: a, regex: x}]", "requires only 'source_labels' and 'target_label'"),
        ("[{action: labeldrop, regex: x, source_labels: [a]}]", "requires only 'regex'"),
        ("[{action: labelmap, replacement: ''}]", "invalid 'replacement' for labelmap"),
        ("[{action: keep, regex: '('}]", "invalid 'regex'"),
        ("[{action: keep, regex: 'a**'}]", "nested repetition"),
        ("[{action: keep, sourcelabels: [a]}]", "unknown field `sourcelabels`"),
    ] {
        let e = rules(yaml).expect_err(yaml);
        assert!(e.contains(wanted), "{yaml}: {e}");
    }
}

#[test]
fn internal_labels_go() {
    assert_eq!(without_internal(&labels("__address__=x a=1 _b=2")), labels("a=1 _b=2"));
}
