//! Metrics of several tenants at once.

use serde_json::{Value, json};

use crate::harness::{NOW_NS, Server};
use crate::prometheus::{V2, version2, write};

const NOW: i64 = NOW_NS / 1_000_000_000;
const BOTH: [(&str, &str); 1] = [("x-scope-orgid", "b|a|b")];

fn of(tenant: &'static str) -> [(&'static str, &'static str); 1] {
    [("x-scope-orgid", tenant)]
}

/// `up` of three tenants, of which `b` has a label of the name that tells tenants apart.
fn server() -> Server {
    let server = Server::plain();
    for (tenant, value) in [("a", 1.0), ("b", 10.0), ("c", 100.0)] {
        let samples: Vec<(i64, f64)> = (0..10).map(|i| (i * 15_000 - 135_000, value * i as f64)).collect();
        write(&server, &of(tenant), &[("__name__", "up"), ("job", "x")], &samples).ok();
    }
    write(&server, &of("b"), &[("__name__", "own"), ("__tenant_id__", "mine")], &[(0, 5.0)]).ok();
    server
}

fn get(server: &Server, path: &str) -> Value {
    server.send("GET", &format!("/api/v1/{path}"), &BOTH, b"").ok().json()["data"].clone()
}

/// Tenant, and the last value, of what a query finds.
fn found(server: &Server, query: &str) -> Vec<(String, String)> {
    let answer = get(server, &format!("query?query={query}&time={NOW}"));
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    answer["result"].as_array().unwrap().iter().map(|r| (text(&r["metric"]["__tenant_id__"]), text(&r["value"][1]))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn queries_are_about_several_tenants() {
    let server = server();
    assert_eq!(found(&server, "up"), pairs(&[("a", "9"), ("b", "90")]));
    assert_eq!(found(&server, "sum(up)"), pairs(&[("", "99")]));
    assert_eq!(found(&server, "sum+by+(__tenant_id__)(increase(up%5B1m%5D))"), pairs(&[("a", "4"), ("b", "40")]));
    for (selector, want) in [
        ("__tenant_id__%3D%22b%22", &[("b", "90")][..]),
        ("__tenant_id__!%3D%22b%22", &[("a", "9")]),
        ("__tenant_id__%3D~%22a%7Cc%22", &[("a", "9")]),
        ("__tenant_id__%3D%22c%22", &[]),
        ("original___tenant_id__%3D%22mine%22", &[]),
    ] {
        assert_eq!(found(&server, &format!("up%7B{selector}%7D")), pairs(want), "{selector}");
    }
    assert_eq!(found(&server, "own%7Boriginal___tenant_id__%3D%22mine%22%7D"), pairs(&[("b", "5")]));
    let range = get(&server, &format!("query_range?query=up*2&start={}&end={NOW}&step=15s", NOW - 30));
    let series = range["result"].as_array().unwrap();
    let last = |i: usize| (series[i]["metric"]["__tenant_id__"].clone(), series[i]["values"][2][1].clone());
    assert_eq!((series.len(), last(0), last(1)), (2, (json!("a"), json!("18")), (json!("b"), json!("180"))));
    // One of them alone is what it is without the others.
    let alone = server.send("GET", &format!("/api/v1/query?query=up&time={NOW}"), &of("a|a"), b"").ok().json();
    assert_eq!(alone["data"]["result"][0]["metric"], json!({"__name__": "up", "job": "x"}));
}

/// The same from memory, from files, and partly from each.
#[test]
fn rows_of_many_slices_are_put_together() {
    let server = Server::plain();
    for (tenant, value) in [("a", 1.0), ("b", 2.0)] {
        let day: Vec<(i64, f64)> = (0..1440).map(|i| (i * 60_000 - 86_400_000, value)).collect();
        write(&server, &of(tenant), &[("__name__", "load"), ("job", "x")], &day[..700]).ok();
        server.post("/flush", &[], b"").ok();
        write(&server, &of(tenant), &[("__name__", "load"), ("job", "x")], &day[700..]).ok();
    }
    assert_eq!(found(&server, "count_over_time(load%5B1d%5D)"), pairs(&[("a", "1439"), ("b", "1439")]));
    let range = get(&server, &format!("query_range?query=sum(load)&start={}&end={NOW}&step=1h", NOW - 82_800));
    let values = range["result"][0]["values"].as_array().unwrap();
    assert!(values.len() == 24 && values.iter().all(|v| v[1] == "3"), "{values:?}");
}

#[test]
fn listings_are_about_several_tenants() {
    let server = server();
    assert_eq!(get(&server, "labels"), json!(["__name__", "__tenant_id__", "job", "original___tenant_id__"]));
    assert_eq!(get(&server, "label/__tenant_id__/values"), json!(["a", "b"]));
    assert_eq!(get(&server, "label/__tenant_id__/values?match[]=own"), json!(["b"]));
    assert_eq!(get(&server, "label/original___tenant_id__/values"), json!(["mine"]));
    assert_eq!(get(&server, "label/__name__/values"), json!(["own", "up"]));
    let up = |tenant: &str| json!({"__name__": "up", "__tenant_id__": tenant, "job": "x"});
    assert_eq!(get(&server, "series?match[]=up"), json!([up("a"), up("b")]));
    assert_eq!(get(&server, "series?match[]=up%7B__tenant_id__%3D%22a%22%7D"), json!([up("a")]));
    // Exemplars and what is said of metrics, too.
    for tenant in ["a", "b"] {
        server.post("/api/v1/write", &[&V2[..], &of(tenant)].concat(), &version2([0, 1], 7)).ok();
    }
    assert_eq!(get(&server, "query_exemplars?query=up").as_array().unwrap().len(), 2);
    assert_eq!(get(&server, "metadata")["up"].as_array().unwrap().len(), 1);
    // What is deleted of one is not there, and of the other is.
    server.send("POST", "/api/v1/admin/tsdb/delete_series?match[]=up", &of("a"), b"");
    assert_eq!(found(&server, "up"), pairs(&[("b", "90")]));
    assert_eq!(get(&server, &format!("series?match[]=up&start={}&end={NOW}", NOW - 300)), json!([up("b")]));
}

#[test]
fn nothing_else_is_about_several_tenants() {
    let server = server();
    assert_eq!(write(&server, &BOTH, &[("__name__", "up")], &[(0, 1.0)]).status, 400);
    for path in ["/federate?match[]=up", "/api/v1/status/tsdb", "/api/v1/cardinality/label_names", "/api/v1/targets"] {
        assert_eq!(server.send("GET", path, &BOTH, b"").status, 400, "{path}");
    }
    assert_eq!(server.send("POST", "/api/v1/admin/tsdb/delete_series?match[]=up", &BOTH, b"").status, 400);
    for path in ["status/buildinfo", "rules", "alerts", "parse_query?query=up", "format_query?query=up"] {
        for prefix in ["", "/prometheus"] {
            assert_eq!(server.send("GET", &format!("{prefix}/api/v1/{path}"), &BOTH, b"").status, 200, "{prefix} {path}");
        }
    }
    let answer = server.send("GET", "/prometheus/api/v1/label/job/values", &BOTH, b"").ok().json();
    assert_eq!(answer["data"], json!(["x"]));
}
