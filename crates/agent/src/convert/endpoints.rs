//! Components that send.

use super::About;
use super::beliefs;
use super::model::{BasicAuth, Endpoint};
use super::open::Open;
use super::stages::rules;

/// The endpoints of a sending component; their names begin with its label.
pub(super) fn endpoints(kind: &str, label: &str, open: &Open<'_>) -> Vec<Endpoint> {
    match kind {
        "loki.write" => loki(label, open),
        "prometheus.remote_write" => remote_write(label, open),
        _ => otlp(label, open),
    }
}

/// The names of those endpoints.
pub(super) fn names(kind: &str, label: &str, open: &Open<'_>) -> Vec<String> {
    let blocks = open.blocks(if kind.starts_with("otelcol") { "client" } else { "endpoint" });
    let count = blocks.len();
    blocks
        .iter()
        .enumerate()
        .map(|(i, e)| if kind.starts_with("otelcol") { label.to_owned() } else { name_of(label, e.text("name"), i, count) })
        .collect()
}

/// One name for one endpoint, numbered ones for several.
fn name_of(label: &str, written: Option<String>, index: usize, count: usize) -> String {
    let plain = if count > 1 { format!("{label}_{}", index + 1) } else { label.to_owned() };
    written.filter(|n| count > 1 && !n.is_empty()).map_or(plain, |n| format!("{label}_{n}"))
}

fn loki(label: &str, open: &Open<'_>) -> Vec<Endpoint> {
    let labels = open.texts("external_labels");
    open.ignore(&["max_streams"]);
    let wal = open.blocks("wal").pop();
    beliefs::loki_write(open, label, wal.as_ref());
    if let Some(wal) = wal {
        wal.ignore(&["max_segment_age", "enabled", "min_read_frequency", "max_read_frequency", "drain_timeout"]);
        wal.close();
    }
    let blocks = open.blocks("endpoint");
    let count = blocks.len();
    let mut out = vec![];
    for (i, e) in blocks.into_iter().enumerate() {
        beliefs::retries(&e);
        let mut endpoint = common(&e, "loki", name_of(label, e.text("name"), i, count));
        endpoint.tenant = e.text("tenant_id");
        endpoint.labels = labels.clone();
        // Batches and retries are the spool's matter.
        e.ignore(&[
            "batch_wait",
            "batch_size",
            "min_backoff_period",
            "max_backoff_period",
            "retry_on_http_429",
            "remote_timeout",
            "queue_config",
        ]);
        e.close();
        out.push(endpoint);
    }
    out
}

fn remote_write(label: &str, open: &Open<'_>) -> Vec<Endpoint> {
    let labels = open.texts("external_labels");
    beliefs::remote_write(open);
    let blocks = open.blocks("endpoint");
    let count = blocks.len();
    let mut out = vec![];
    for (i, e) in blocks.into_iter().enumerate() {
        let mut endpoint = common(&e, "remote_write", name_of(label, e.text("name"), i, count));
        endpoint.labels = labels.clone();
        endpoint.tenant = endpoint.headers.remove("X-Scope-OrgID");
        if !rules(&e, "write_relabel_config").is_empty() {
            e.note(About::Missing, "", format!("{}: write_relabel_config: write these rules as metric_relabel of the sources", open.title));
        }
        e.ignore(&["remote_timeout", "queue_config", "metadata_config", "send_native_histograms", "send_exemplars"]);
        e.close();
        out.push(endpoint);
    }
    out
}

fn otlp(label: &str, open: &Open<'_>) -> Vec<Endpoint> {
    beliefs::otlp(open);
    open.ignore(&["sending_queue", "retry_on_failure", "timeout", "encoding", "debug_metrics"]);
    let mut out = vec![];
    for client in open.blocks("client") {
        let mut endpoint = common(&client, "otlp", label.to_owned());
        endpoint.url = client.text("endpoint").unwrap_or_default();
        endpoint.tenant = endpoint.headers.remove("X-Scope-OrgID");
        client.ignore(&["compression", "timeout", "read_buffer_size", "write_buffer_size", "keepalive"]);
        client.close();
        out.push(endpoint);
    }
    out
}

/// Address and credentials, which all have alike.
fn common(e: &Open<'_>, kind: &str, name: String) -> Endpoint {
    let file = |o: &Open<'_>, name: &str| o.text(name).map(|p| format!("file:{p}"));
    let basic_auth = e.blocks("basic_auth").pop().map(|b| {
        let password = b.text("password").or_else(|| file(&b, "password_file"));
        let auth = BasicAuth { username: b.text("username").unwrap_or_default(), password: password.unwrap_or_default() };
        b.close();
        auth
    });
    let authorization = e.blocks("authorization").pop().and_then(|a| {
        let bearer = a.text("type").is_none_or(|t| t.eq_ignore_ascii_case("bearer"));
        let token = a.text("credentials").or_else(|| file(&a, "credentials_file"));
        if !bearer {
            a.note(About::Missing, "type", format!("{}: only the type Bearer is supported", e.title));
        }
        a.close();
        token.filter(|_| bearer)
    });
    Endpoint {
        name,
        kind: kind.into(),
        url: e.text("url").unwrap_or_default(),
        tenant: None,
        basic_auth,
        bearer_token: e.text("bearer_token").or_else(|| file(e, "bearer_token_file")).or(authorization),
        headers: e.texts("headers"),
        labels: Default::default(),
        span: None,
    }
}
