use std::io::Write;

use parking_lot::Mutex;

use super::*;

/// Lines that were delivered, with their labels.
#[derive(Default)]
struct Place {
    refuse: Mutex<bool>,
    lines: Mutex<Vec<(Labels, Line)>>,
}

impl Deliver for Place {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        let Batch::Lines(lines) = batch else { panic!("syslog gives lines") };
        if *self.refuse.lock() {
            return Err(Error::unavailable("full"));
        }
        assert!(!lines.position.is_empty());
        let all = lines.streams.iter().flat_map(|s| s.lines.iter().map(|l| (s.labels.clone(), l.clone())));
        self.lines.lock().extend(all);
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        vec![]
    }
    fn lost(&self, _: &Loss) {}
}

fn source(relabel: &str) -> (Source, Arc<Place>) {
    let place = Arc::new(Place::default());
    let settings = Settings {
        tcp: Some("127.0.0.1:0".into()),
        udp: Some("127.0.0.1:0".into()),
        job: "syslog".into(),
        labels: BTreeMap::new(),
        relabel: serde_yaml_ng::from_str(relabel).unwrap(),
    };
    let context = Context { deliver: place.clone(), clock: Clock::manual(42), stats: Arc::default() };
    (Source::new("x", settings, context).unwrap(), place)
}

/// Polls until so many lines are there. What was sent over loopback comes; only a broken source lets this go on for ever.
fn poll_until(s: &mut Source, place: &Place, lines: usize) -> Vec<(Labels, Line)> {
    while place.lines.lock().len() < lines {
        s.poll();
        std::thread::yield_now();
    }
    place.lines.lock().clone()
}

#[test]
fn messages_over_tcp_and_udp_are_lines() {
    let (mut s, place) = source("[]");
    let mut tcp = TcpStream::connect(s.tcp_address().unwrap()).unwrap();
    tcp.write_all(b"<34>1 2003-10-11T22:14:15.003Z web su 7 ID47 [a b=\"c\"] one\n<13>two\n<13>two\n").unwrap();
    let got = poll_until(&mut s, &place, 3);
    let labels = [("app", "su"), ("facility", "auth"), ("host", "web"), ("job", "syslog"), ("level", "crit")];
    let (first, line) = &got[0];
    assert_eq!(*first, Labels::from_pairs(labels).unwrap());
    assert_eq!((line.time_ns, line.text.as_str()), (1_065_910_455_003_000_000, "one"));
    let metadata = [("proc_id", "7"), ("msg_id", "ID47"), ("a_b", "c")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(line.metadata, metadata);
    assert_eq!(got[1].0.get("host"), Some("127.0.0.1"));
    assert_eq!((got[1].1.time_ns, got[2].1.text.as_str()), (42, "two"));

    tcp.write_all(b"<13>last, without its line break").unwrap();
    drop(tcp);
    assert_eq!(poll_until(&mut s, &place, 4)[3].1.text, "last, without its line break");

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"<13>datagram", s.udp_address().unwrap()).unwrap();
    assert_eq!(poll_until(&mut s, &place, 5)[4].1.text, "datagram");
}

#[test]
fn what_is_refused_is_given_again_and_nothing_is_read_meanwhile() {
    let (mut s, place) = source("[]");
    *place.refuse.lock() = true;
    let mut tcp = TcpStream::connect(s.tcp_address().unwrap()).unwrap();
    tcp.write_all(b"<13>one\n").unwrap();
    while s.waiting.is_none() {
        s.poll();
    }
    tcp.write_all(b"<13>two\n").unwrap();
    assert_eq!(s.poll(), Pause::Rest(Duration::from_secs(1)));
    assert!(s.read.is_empty());
    *place.refuse.lock() = false;
    let texts: Vec<String> = poll_until(&mut s, &place, 2).into_iter().map(|(_, l)| l.text).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn rules_choose_labels_and_messages() {
    let (mut s, place) = source(
        "[{source_labels: [level], regex: debug, action: drop},
          {source_labels: [__syslog_message_proc_id], target_label: process}, {regex: facility, action: labeldrop}]",
    );
    let mut tcp = TcpStream::connect(s.tcp_address().unwrap()).unwrap();
    tcp.write_all(b"<15>app: debug\n<14>app[9]: info\n").unwrap();
    let got = poll_until(&mut s, &place, 1);
    assert_eq!((got[0].1.text.as_str(), got[0].0.get("process"), got[0].0.get("facility")), ("info", Some("9"), None));
}
