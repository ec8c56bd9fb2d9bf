//! One short screen at the start: where it is, what it collects, how to push, how to ask.

use std::io::Write;
use std::net::SocketAddr;

use base::units::{format_duration_ns, format_size};

use crate::settings::Settings;

/// Prints it to standard output.
pub fn print(settings: &Settings, address: SocketAddr, otlp: &[SocketAddr], node: Option<&str>, collected: &[String]) {
    // Nobody may be there to read it; that is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{}", text(settings, address, otlp, node, collected));
}

fn text(settings: &Settings, address: SocketAddr, otlp: &[SocketAddr], node: Option<&str>, collected: &[String]) -> String {
    let ports: String = otlp.iter().map(|a| format!(", {a}")).collect();
    let at = format!("http://{address}");
    let keep = |k: Option<i64>| k.map_or("for good".to_owned(), format_duration_ns);
    let collected = if collected.is_empty() { "nothing".to_owned() } else { collected.join(", ") };
    let token = if settings.server.token.is_some() { " -H 'Authorization: Bearer TOKEN'" } else { "" };
    let cluster = settings.cluster.as_ref().zip(node).map_or(String::new(), |(c, node)| {
        format!("\n  cluster  {}, this node at {node}, {} copies; watchfire cluster status --addr {at}", c.name, c.replication)
    });
    format!(
        "watchfire {} at {at}, data in {}, memory {}
  keeps    logs {}, metrics {}, traces {}
  collects {collected}{cluster}
  push     Loki       {at}/loki/api/v1/push
           Prometheus {at}/api/v1/write
           OTLP       {address}{ports}, over gRPC and HTTP
  ask      watchfire logs '{{job=\"files\"}}' --addr {at}
           curl{token} -G {at}/api/v1/query --data-urlencode 'query=up'
  stop     Ctrl-C (again: at once; nothing acknowledged is lost)",
        env!("CARGO_PKG_VERSION"),
        settings.data_dir.display(),
        format_size(settings.memory_bytes),
        keep(settings.retention.logs),
        keep(settings.retention.metrics),
        keep(settings.retention.traces),
    )
}
