//! The syslog source: messages over TCP (counted or by lines, RFC 6587) and UDP, as RFC 5424 and RFC 3164 have them.
//!
//! **Not acknowledged.** Syslog has no word for it: what a sender has handed to the network and what is not in the spool yet is
//! lost when this process ends. Over TCP nothing else is: while the spool is full nothing is read, and senders wait. Over UDP
//! the kernel drops what it has no room for, unseen by both.
//!
//! A message has the time that it says if it says it with year and zone, as RFC 5424 does, and else that of its arrival.
//! Labels: `job`, `host` (the message's, or else the sender's address), `app`, `facility`, `level`; rules see
//! `__syslog_message_*` and `__syslog_connection_ip_address` besides. Process, message id and structured data are metadata.
//!
//! Sockets are looked at in turn, without waiting: hundreds of quiet connections cost less than a thread for each.

mod frames;
pub mod message;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Error, Labels, Result};

use crate::deliver::{Batch, Deliver, Line, Lines, Loss, Stream, retryable};
use crate::label_set::LabelSet;
use crate::limits;
use crate::relabel::{Rule, apply_to, drop_internal};
use crate::runner::Pause;
use crate::stats::{self, Stats};
use frames::Frames;
use message::{FACILITIES, Message, SEVERITIES};

/// Sockets that had nothing are looked at again after so long.
const QUIET: Duration = Duration::from_millis(50);
/// Waited when the spool does not say for how long.
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// There is none, and an empty one would say that the source is done with.
const NO_POSITION: &[u8] = b"-";

/// Where is listened, and what lines are labelled with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Address for TCP.
    pub tcp: Option<String>,
    /// Address for UDP.
    pub udp: Option<String>,
    /// The `job` label.
    pub job: String,
    /// Further labels of every line.
    pub labels: BTreeMap<String, String>,
    /// Rules over the labels of a stream and `__syslog_*`.
    pub relabel: Vec<Rule>,
}

/// What a source needs beside its settings.
pub struct Context {
    /// Where lines go.
    pub deliver: Arc<dyn Deliver>,
    /// The time of arrival.
    pub clock: Clock,
    /// Where figures are counted.
    pub stats: Arc<Stats>,
}

struct Connection {
    stream: TcpStream,
    from: IpAddr,
    frames: Frames,
}

/// Listens. One thread calls [`Source::poll`] again and again.
pub struct Source {
    settings: Settings,
    context: Context,
    name: String,
    tcp: Option<TcpListener>,
    udp: Option<UdpSocket>,
    connections: Vec<Connection>,
    /// Messages that are read and not in a batch yet.
    read: Vec<(IpAddr, Vec<u8>)>,
    /// A batch that was refused for now.
    waiting: Option<Lines>,
    buffer: Vec<u8>,
}

impl Source {
    /// A source named `name` that listens. Errors say which address cannot be had.
    pub fn new(name: &str, settings: Settings, context: Context) -> Result<Source> {
        let name = format!("syslog/{name}");
        let failed = |address: &str, e: std::io::Error| Error::invalid(format!("cannot listen on {address}: {e}"));
        let tcp = settings.tcp.as_deref().map(|a| listen(a).map_err(|e| failed(a, e))).transpose()?;
        let udp = settings.udp.as_deref().map(|a| bind(a).map_err(|e| failed(a, e))).transpose()?;
        // What stages held when the process ended is theirs again only when somebody asks for it.
        context.deliver.positions(&name);
        let buffer = vec![0; limits::SYSLOG_READ_BYTES];
        Ok(Source { settings, context, name, tcp, udp, connections: vec![], read: vec![], waiting: None, buffer })
    }

    /// Where TCP is listened on.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|l| l.local_addr().ok())
    }
    /// Where UDP is listened on.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.udp.as_ref().and_then(|s| s.local_addr().ok())
    }

    /// One round: takes connections, reads what came, delivers it.
    pub fn poll(&mut self) -> Pause {
        if let Err(wait) = self.offer() {
            return Pause::Rest(wait);
        }
        self.accept();
        self.read_tcp();
        self.read_udp();
        if self.read.is_empty() {
            return Pause::Rest(QUIET);
        }
        self.batch();
        match self.offer() {
            Ok(()) => Pause::None,
            Err(wait) => Pause::Rest(wait),
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.tcp else { return };
        loop {
            match listener.accept() {
                Ok(_) if self.connections.len() >= limits::SYSLOG_CONNECTIONS => {
                    tracing::warn!(source = self.name, "too many connections, one is closed");
                }
                Ok((stream, from)) => match stream.set_nonblocking(true) {
                    Ok(()) => self.connections.push(Connection { stream, from: from.ip(), frames: Frames::default() }),
                    Err(e) => tracing::warn!(source = self.name, error = %e, "a connection cannot be read"),
                },
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    if e.kind() != ErrorKind::WouldBlock {
                        tracing::warn!(source = self.name, error = %e, "a connection is not taken");
                    }
                    return;
                }
            }
        }
    }

    fn read_tcp(&mut self) {
        let mut connections = std::mem::take(&mut self.connections);
        connections.retain_mut(|c| self.read.len() >= limits::SYSLOG_MESSAGES || self.read_one(c));
        self.connections = connections;
    }

    /// Reads from a connection; false if it has ended.
    fn read_one(&mut self, c: &mut Connection) -> bool {
        match c.stream.read(&mut self.buffer) {
            Ok(0) => {
                self.read.extend(c.frames.finish().map(|m| (c.from, m)));
                false
            }
            Ok(n) => {
                let taken = c.frames.push(&self.buffer[..n]);
                if taken.cut > 0 || taken.cut_bytes > 0 {
                    self.lose("line_too_long", taken.cut, taken.cut_bytes);
                }
                self.read.extend(taken.messages.into_iter().map(|m| (c.from, m)));
                true
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => true,
            Err(e) => {
                tracing::debug!(source = self.name, from = %c.from, error = %e, "a connection broke off");
                self.read.extend(c.frames.finish().map(|m| (c.from, m)));
                false
            }
        }
    }

    fn read_udp(&mut self) {
        let Some(socket) = &self.udp else { return };
        while self.read.len() < limits::SYSLOG_MESSAGES {
            match socket.recv_from(&mut self.buffer) {
                Ok((n, from)) => self.read.push((from.ip(), self.buffer[..n].to_vec())),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Makes the batch of what was read.
    fn batch(&mut self) {
        let now_ns = self.context.clock.now_ns();
        let mut streams: Vec<(Stream, HashSet<(i64, String)>)> = vec![];
        let mut index: HashMap<Labels, usize> = HashMap::new();
        for (from, bytes) in std::mem::take(&mut self.read) {
            let m = message::read(&bytes);
            if m.repaired {
                self.context.stats.repaired.add(&["syslog"], 1);
            }
            if m.text.is_empty() && m.data.is_empty() {
                continue;
            }
            let Some(labels) = self.labels(&m, from) else { continue };
            let i = *index.entry(labels.clone()).or_insert_with(|| {
                streams.push((Stream { tenant: None, labels, lines: vec![] }, HashSet::new()));
                streams.len() - 1
            });
            let (stream, seen) = &mut streams[i];
            // Equal lines of one moment stay different rows.
            let mut time_ns = m.time_ns.unwrap_or(now_ns);
            while !seen.insert((time_ns, m.text.clone())) {
                time_ns += 1;
            }
            stream.lines.push(Line { time_ns, metadata: metadata(&m), text: m.text });
        }
        let streams = streams.into_iter().map(|(s, _)| s).collect();
        self.waiting = Some(Lines { streams, source: self.name.clone(), position: NO_POSITION.to_vec() });
    }

    /// Gives the waiting batch, if there is one; an error says how long to wait before it is given again.
    fn offer(&mut self) -> std::result::Result<(), Duration> {
        let Some(batch) = self.waiting.take() else { return Ok(()) };
        if batch.count() == 0 {
            return Ok(());
        }
        match self.context.deliver.deliver(Batch::Lines(&batch)) {
            Ok(()) => stats::add(&self.context.stats.lines, batch.count()),
            Err(e) if retryable(&e) => {
                self.context.stats.deferred.add(&[&format!("{:?}", e.kind()).to_lowercase()], 1);
                self.waiting = Some(batch);
                return Err(e.retry_hint().unwrap_or(REFUSED_WAIT));
            }
            Err(e) => {
                tracing::error!(source = self.name, error = %e, lines = batch.count(), "lines refused for good");
                let bytes = batch.streams.iter().flat_map(|s| &s.lines).map(|l| l.text.len() as u64).sum();
                self.lose("refused", batch.count(), bytes);
            }
        }
        Ok(())
    }

    fn lose(&self, reason: &'static str, lines: u64, bytes: u64) {
        self.context.stats.lost_lines.add(&[reason], lines);
        self.context.stats.lost_bytes.add(&[reason], bytes);
        let (source, time_ns) = (self.name.clone(), self.context.clock.now_ns());
        self.context.deliver.lost(&Loss { source, reason, lines, bytes, time_ns, first_ns: None, last_ns: None });
    }

    /// The labels of a message after the rules; none if they drop it.
    fn labels(&self, m: &Message, from: IpAddr) -> Option<Labels> {
        let name = |names: &[&'static str], n: Option<u8>| n.and_then(|n| names.get(usize::from(n)).copied()).unwrap_or("");
        let (facility, severity) = (name(&FACILITIES, m.facility), name(&SEVERITIES, m.severity));
        let address = from.to_string();
        let host = if m.host.is_empty() { address.as_str() } else { m.host.as_str() };
        let mut set = LabelSet::default();
        for (name, value) in [
            ("job", self.settings.job.as_str()),
            ("host", host),
            ("app", m.app.as_str()),
            ("facility", facility),
            ("level", severity),
            ("__syslog_connection_ip_address", address.as_str()),
            ("__syslog_message_facility", facility),
            ("__syslog_message_severity", severity),
            ("__syslog_message_hostname", m.host.as_str()),
            ("__syslog_message_app_name", m.app.as_str()),
            ("__syslog_message_proc_id", m.proc_id.as_str()),
            ("__syslog_message_msg_id", m.msg_id.as_str()),
        ] {
            set.set(name, value);
        }
        self.settings.labels.iter().for_each(|(n, v)| set.set(n, v));
        if !apply_to(&self.settings.relabel, &mut set) {
            return None;
        }
        drop_internal(&mut set);
        set.to_labels().inspect_err(|e| tracing::error!(error = %e, "rules make labels that cannot be")).ok()
    }
}

fn metadata(m: &Message) -> Vec<(String, String)> {
    let own = [("proc_id", &m.proc_id), ("msg_id", &m.msg_id)];
    let mut out: Vec<(String, String)> = own.into_iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.to_owned(), v.clone())).collect();
    out.extend(m.data.iter().filter(|(n, _)| n != "proc_id" && n != "msg_id").cloned());
    out
}

fn listen(address: &str) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind(address: &str) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
