//! `watchfire logs --follow`: lines over a websocket, as they arrive.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::Deserialize;
use tungstenite::client::IntoClientRequest;
use tungstenite::{HandshakeError, Message, WebSocket};

use super::Stream;
use crate::ask;
use crate::cli::{LogsArgs, ServerArgs};
use crate::exit::{Exit, Failure};

/// The pause before a connection that broke off is made again.
const PAUSE: Duration = Duration::from_secs(1);
/// Connections that fail one after another before it is given up: a server that restarts is back sooner.
const FAILURES: u32 = 30;

#[derive(Deserialize)]
struct Frame {
    streams: Vec<Stream>,
    #[serde(default)]
    dropped_entries: Vec<serde_json::Value>,
}

/// Follows the query until whoever reads our lines has seen enough.
pub(super) fn run(args: &LogsArgs, start_ns: i64, mut print: impl FnMut(&mut dyn Write, &[Stream]) -> io::Result<()>) -> Result<()> {
    let (mut from_ns, mut limit, mut failures) = (start_ns, args.limit, 0);
    loop {
        let mut socket = match open(&args.server, &args.query, from_ns, limit) {
            Ok(s) => s,
            // It never worked: say why. Later, it may come back.
            Err(e) if limit == args.limit && failures == 0 && from_ns == start_ns => return Err(e),
            Err(e) if failures >= FAILURES => return Err(e),
            Err(_) => {
                failures += 1;
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        failures = 0;
        loop {
            let text = match socket.read() {
                Ok(Message::Text(t)) => t,
                Ok(_) => continue,
                Err(e) => {
                    eprintln!("the connection broke off ({e}), trying again");
                    break;
                }
            };
            let Ok(frame) = serde_json::from_str::<Frame>(&text) else {
                return Err(Failure::error(Exit::Refused, format!("{} ended the query: {}", args.server.addr, text.trim_end())));
            };
            if !frame.dropped_entries.is_empty() {
                eprintln!("warning: {} lines were not sent, because they were taken too slowly", frame.dropped_entries.len());
            }
            let mut out = io::stdout().lock();
            print(&mut out, &frame.streams)?;
            out.flush()?;
            let times = frame.streams.iter().flat_map(|s| s.values.iter().filter_map(|(ns, _)| ns.parse::<i64>().ok()));
            from_ns = times.max().map_or(from_ns, |last| from_ns.max(last.saturating_add(1)));
        }
        // What came while nobody listened is printed, too.
        limit = args.limit.max(1_000);
        std::thread::sleep(PAUSE);
    }
}

fn open(server: &ServerArgs, query: &str, start_ns: i64, limit: u32) -> Result<WebSocket<TcpStream>> {
    let address = server.addr.trim_end_matches('/');
    let host =
        address.strip_prefix("http://").ok_or_else(|| anyhow!("--follow takes an address that begins with http://, not {address}"))?;
    let url = format!("ws://{host}/loki/api/v1/tail?query={}&start={start_ns}&limit={limit}", encoded(query));
    let mut request = url.into_client_request()?;
    if let Some(tenant) = &server.tenant {
        request.headers_mut().insert("X-Scope-OrgID", tenant.parse()?);
    }
    if let Some(token) = ask::token(server)? {
        request.headers_mut().insert("Authorization", format!("Bearer {token}").parse()?);
    }
    let authority = host.split('/').next().unwrap_or(host);
    let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let unreachable = |e: &dyn std::fmt::Display| Failure::error(Exit::Unreachable, format!("no answer from {address}: {e}"));
    let stream = TcpStream::connect(with_port).map_err(|e| unreachable(&e))?;
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(tungstenite::Error::Http(r))) => {
            let status = r.status().as_u16();
            let body = r.into_body().unwrap_or_default();
            Err(Failure::error(Exit::Refused, format!("{address} answered {status}: {}", String::from_utf8_lossy(&body).trim_end())))
        }
        Err(e) => Err(unreachable(&e)),
    }
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_go_into_the_address() {
        assert_eq!(encoded("{a=\"é b\"}"), "%7Ba%3D%22%C3%A9%20b%22%7D");
    }
}
