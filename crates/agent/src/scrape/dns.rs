//! Records of the domain name system that name targets, asked of the system's name servers.
//!
//! | type | a target is |
//! |---|---|
//! | `SRV` | each record's host and port |
//! | `A`, `AAAA` | each address with the port of the settings |
//! | `MX`, `NS` | each record's host with the port of the settings |
//!
//! The message is RFC 1035's: over UDP, and over TCP if the answer is cut short. The system's own resolver knows addresses alone,
//! which is why it is not asked.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use base::{Error, Result};

use super::target::Found;

/// How long a name server may take; then the next is asked.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Where the system says whom to ask.
const SETTINGS: &str = "/etc/resolv.conf";
/// Labels of a name, and jumps within a message: no name has more.
const LABELS: usize = 128;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The names.
    pub names: Vec<String>,
    /// Type of the records.
    pub kind: Kind,
    /// The port of what has none.
    pub port: u16,
}

/// Type of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses of version 4.
    A,
    /// Addresses of version 6.
    Aaaa,
    /// Servers of a service.
    Srv,
    /// Servers for mail.
    Mx,
    /// Name servers.
    Ns,
}

impl Kind {
    /// The type of that name, as settings have it.
    pub fn from_name(name: &str) -> Option<Kind> {
        [("A", Kind::A), ("AAAA", Kind::Aaaa), ("SRV", Kind::Srv), ("MX", Kind::Mx), ("NS", Kind::Ns)]
            .into_iter()
            .find_map(|(n, k)| n.eq_ignore_ascii_case(name).then_some(k))
    }

    /// Its number in messages.
    fn code(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Ns => 2,
            Kind::Mx => 15,
            Kind::Aaaa => 28,
            Kind::Srv => 33,
        }
    }
}

/// Whom to ask, and what to try for a name that is not whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with so many dots is tried as it is first.
    dots: usize,
}

impl Resolver {
    /// As the system says.
    ///
    /// # Errors
    /// Its settings cannot be read.
    pub fn of_system() -> Result<Resolver> {
        let text = std::fs::read_to_string(SETTINGS).map_err(|e| Error::unavailable(format!("{SETTINGS}: {e}")))?;
        Ok(Resolver::parse(&text))
    }

    /// Of the text of resolv.conf(5).
    fn parse(text: &str) -> Resolver {
        let mut r = Resolver { dots: 1, ..Resolver::default() };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or("").split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let ip = words.next().and_then(|a| a.split('%').next()?.parse::<IpAddr>().ok());
                    r.servers.extend(ip.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("search" | "domain") => r.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let dots = words.find_map(|w| w.strip_prefix("ndots:")?.parse().ok());
                    r.dots = dots.unwrap_or(r.dots);
                }
                _ => {}
            }
        }
        if r.servers.is_empty() {
            r.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        r
    }

    /// The names that `name` may stand for, in the order in which they are tried.
    fn whole(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut all: Vec<String> = self.search.iter().map(|s| format!("{name}.{}.", s.trim_matches('.'))).collect();
        let first = name.matches('.').count() >= self.dots;
        all.insert(if first { 0 } else { all.len() }, format!("{name}."));
        all
    }

    /// The records of the first whole name that has any; none if no server knows the name.
    fn ask(&self, name: &str, kind: Kind) -> Result<Vec<Record>> {
        for whole in self.whole(name) {
            let records = self.ask_whole(&whole, kind)?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(vec![])
    }

    fn ask_whole(&self, name: &str, kind: Kind) -> Result<Vec<Record>> {
        let mut last = Error::unavailable("no name server is known");
        for server in &self.servers {
            match exchange(*server, name, kind) {
                Ok(records) => return Ok(records),
                Err(e) => last = e.context(format!("{name} at {server}")),
            }
        }
        Err(last)
    }
}

/// The targets that records name.
pub(super) fn found(settings: &Settings, resolver: &Resolver) -> Result<Vec<Found>> {
    let mut all = vec![];
    for name in &settings.names {
        for r in resolver.ask(name, settings.kind)? {
            all.push(r.target(name, settings.port));
        }
    }
    Ok(all)
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Record {
    Address(IpAddr),
    Server { host: String, port: u16 },
    Mail(String),
    Names(String),
}

impl Record {
    fn target(&self, name: &str, port: u16) -> Found {
        let plain = |host: &str| host.trim_end_matches('.').to_owned();
        let mut found = BTreeMap::from([("__meta_dns_name".to_owned(), name.to_owned())]);
        let address = match self {
            Record::Address(ip) => SocketAddr::new(*ip, port).to_string(),
            Record::Server { host, port } => {
                found.insert("__meta_dns_srv_record_target".into(), host.clone());
                found.insert("__meta_dns_srv_record_port".into(), port.to_string());
                format!("{}:{port}", plain(host))
            }
            Record::Mail(host) => {
                found.insert("__meta_dns_mx_record_target".into(), host.clone());
                format!("{}:{port}", plain(host))
            }
            Record::Names(host) => {
                found.insert("__meta_dns_ns_record_target".into(), host.clone());
                format!("{}:{port}", plain(host))
            }
        };
        found.insert("__address__".into(), address);
        found
    }
}

/// Asks a server.
fn exchange(server: SocketAddr, name: &str, kind: Kind) -> Result<Vec<Record>> {
    let away = |e: std::io::Error| Error::unavailable(e.to_string());
    // A number that nobody can guess, so that only who has seen the question can answer it.
    let id = RandomState::new().hash_one(name) as u16;
    let question = question(id, name, kind)?;
    let here: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(here, 0)).map_err(away)?;
    socket.set_read_timeout(Some(TIMEOUT)).map_err(away)?;
    socket.connect(server).map_err(away)?;
    socket.send(&question).map_err(away)?;
    let mut answer = vec![0; 65_535];
    let len = socket.recv(&mut answer).map_err(away)?;
    match records(&answer[..len], id, kind)? {
        Some(records) => Ok(records),
        None => {
            let long = over_tcp(server, &question).map_err(away)?;
            records(&long, id, kind)?.ok_or_else(|| Error::unavailable("the answer is cut short over TCP, too"))
        }
    }
}

fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&server, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let len = question.len() as u16;
    socket.write_all(&[&len.to_be_bytes()[..], question].concat())?;
    let mut len = [0; 2];
    socket.read_exact(&mut len)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}

/// The message that asks.
fn question(id: u16, name: &str, kind: Kind) -> Result<Vec<u8>> {
    // One question, and the server is to find out by itself.
    let mut out = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(Error::invalid(format!("{name:?} is not a name")));
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.code().to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    Ok(out)
}

/// A message that is being read.
struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Message<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let out = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(out)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A name; parts of it may stand further ahead in the message.
    fn name(&mut self) -> Option<String> {
        let mut out = String::new();
        let mut back = None;
        for _ in 0..LABELS {
            let len = *self.take(1)?.first()?;
            match len {
                0 => {
                    self.at = back.unwrap_or(self.at);
                    return Some(out);
                }
                1..=63 => {
                    out.push_str(std::str::from_utf8(self.take(usize::from(len))?).ok()?);
                    out.push('.');
                }
                0xc0.. => {
                    let low = *self.take(1)?.first()?;
                    back.get_or_insert(self.at);
                    self.at = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                }
                _ => return None,
            }
        }
        None
    }
}

/// The records of a type in an answer; `None` if it is cut short. Of a name that nobody knows there are none.
fn records(bytes: &[u8], id: u16, kind: Kind) -> Result<Option<Vec<Record>>> {
    let broken = || Error::unavailable("the answer is broken");
    let mut m = Message { bytes, at: 0 };
    let head: Vec<u16> = (0..6).map_while(|_| m.number()).collect();
    let &[its, flags, questions, answers, _, _] = &head[..] else { return Err(broken()) };
    if its != id || flags & 0x8000 == 0 {
        return Err(Error::unavailable("the answer is to another question"));
    }
    match flags & 0xf {
        0 => {}
        3 => return Ok(Some(vec![])),
        code => return Err(Error::unavailable(format!("the server answers with code {code}"))),
    }
    if flags & 0x200 != 0 {
        return Ok(None);
    }
    for _ in 0..questions {
        m.name().and_then(|_| m.take(4)).ok_or_else(broken)?;
    }
    let mut out = vec![];
    for _ in 0..answers {
        out.extend(record(&mut m, kind).ok_or_else(broken)?);
    }
    Ok(Some(out))
}

/// The next record, if it is of the type; `None` if it is broken.
fn record(m: &mut Message<'_>, kind: Kind) -> Option<Option<Record>> {
    m.name()?;
    let code = m.number()?;
    m.take(6)?;
    let len = usize::from(m.number()?);
    let end = m.at + len;
    if code != kind.code() {
        m.take(len)?;
        return Some(None);
    }
    let record = match kind {
        Kind::A => Record::Address(IpAddr::from(<[u8; 4]>::try_from(m.take(4)?).ok()?)),
        Kind::Aaaa => Record::Address(IpAddr::from(<[u8; 16]>::try_from(m.take(16)?).ok()?)),
        Kind::Srv => {
            m.take(4)?;
            let port = m.number()?;
            Record::Server { port, host: m.name()? }
        }
        Kind::Mx => {
            m.take(2)?;
            Record::Mail(m.name()?)
        }
        Kind::Ns => Record::Names(m.name()?),
    };
    (m.at == end).then_some(Some(record))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_of_the_system() {
        let r = Resolver::parse(
            "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.example b.example. ; y\noptions timeout:1 ndots:2\n",
        );
        assert_eq!(r.servers, ["10.0.0.1:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()]);
        assert_eq!(r.whole("x.y"), ["x.y.a.example.", "x.y.b.example.", "x.y."]);
        assert_eq!(r.whole("x.y.z"), ["x.y.z.", "x.y.z.a.example.", "x.y.z.b.example."]);
        assert_eq!(r.whole("x."), ["x."]);
        assert_eq!(Resolver::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    /// An answer to `question` with records: type and data, each for the name that was asked.
    fn answer(question: &[u8], flags: u16, records: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let mut out = question.to_vec();
        out[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (kind, data) in records {
            // The name stands at byte 12.
            out.extend_from_slice(&[0xc0, 12]);
            out.extend_from_slice(&kind.code().to_be_bytes());
            out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            out.extend_from_slice(&(data.len() as u16).to_be_bytes());
            out.extend_from_slice(data);
        }
        out
    }

    fn host(prefix: &[u8], name: &str) -> Vec<u8> {
        let mut out = prefix.to_vec();
        name.split('.').for_each(|l| out.extend([&[l.len() as u8], l.as_bytes()].concat()));
        out.push(0);
        out
    }

    /// A name server that answers the same records to every question; over UDP it says that there are more if `is_long`.
    fn serve(records: Vec<(Kind, Vec<u8>)>, is_long: bool) -> Resolver {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(at).unwrap();
        let long = records.clone();
        let serve_udp = move || {
            let mut b = [0; 512];
            while let Ok((len, from)) = udp.recv_from(&mut b) {
                let a = if is_long { answer(&b[..len], 0x200, &[]) } else { answer(&b[..len], 0, &records) };
                udp.send_to(&a, from).unwrap();
            }
        };
        let serve_tcp = move || {
            for socket in tcp.incoming() {
                let mut socket = socket.unwrap();
                let mut len = [0; 2];
                socket.read_exact(&mut len).unwrap();
                let mut q = vec![0; usize::from(u16::from_be_bytes(len))];
                socket.read_exact(&mut q).unwrap();
                let a = answer(&q, 0, &long);
                socket.write_all(&[&(a.len() as u16).to_be_bytes()[..], &a].concat()).unwrap();
            }
        };
        std::thread::Builder::new().name("udp".into()).spawn(serve_udp).unwrap();
        std::thread::Builder::new().name("tcp".into()).spawn(serve_tcp).unwrap();
        Resolver { servers: vec![at], search: vec![], dots: 1 }
    }

    #[test]
    fn records_are_targets() {
        let cases = [
            (Kind::A, vec![10, 0, 0, 1], "10.0.0.1:9100"),
            (Kind::Aaaa, [&[0; 15][..], &[1]].concat(), "[::1]:9100"),
            (Kind::Srv, host(&[0, 1, 0, 1, 0x1f, 0x90], "a.example"), "a.example:8080"),
            (Kind::Mx, host(&[0, 1], "m.example"), "m.example:9100"),
            (Kind::Ns, host(&[], "n.example"), "n.example:9100"),
        ];
        for (kind, data, address) in cases {
            for is_long in [false, true] {
                // A record of another type, as of an alias, is passed over.
                let other = if kind == Kind::A { Kind::Ns } else { Kind::A };
                let resolver = serve(vec![(other, vec![0]), (kind, data.clone())], is_long);
                let settings = Settings { names: vec!["_s._tcp.example".into()], kind, port: 9100 };
                let found = found(&settings, &resolver).unwrap();
                assert_eq!(found.iter().map(|f| f["__address__"].as_str()).collect::<Vec<_>>(), [address]);
                assert_eq!(found[0]["__meta_dns_name"], "_s._tcp.example");
                assert_eq!(found[0].contains_key("__meta_dns_srv_record_target"), kind == Kind::Srv);
            }
        }
    }

    #[test]
    fn answers_that_are_none() {
        let q = question(7, "a.example.", Kind::A).unwrap();
        let good = answer(&q, 0, &[(Kind::A, vec![1, 2, 3, 4])]);
        assert_eq!(records(&good, 7, Kind::A).unwrap(), Some(vec![Record::Address([1, 2, 3, 4].into())]));
        assert_eq!(records(&answer(&q, 3, &[]), 7, Kind::A).unwrap(), Some(vec![]), "nobody knows the name");
        assert!(
            records(&good, 8, Kind::A).is_err() && records(&q, 7, Kind::A).is_err() && records(&answer(&q, 2, &[]), 7, Kind::A).is_err()
        );
        (0..good.len()).for_each(|cut| assert!(records(&good[..cut], 7, Kind::A).is_err(), "cut at {cut}"));
        assert!(question(0, "a..b", Kind::A).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[0, 0, 0x80, 0]);
            }
            for kind in [Kind::A, Kind::Aaaa, Kind::Srv, Kind::Mx, Kind::Ns] {
                let _ = records(&bytes, 0, kind);
            }
        }
    }
}
