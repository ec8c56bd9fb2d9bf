use std::sync::mpsc::SyncSender;

use base::Result;
use parking_lot::Mutex;

use super::*;

/// Lines and positions that were delivered.
#[derive(Default)]
struct Place {
    refuse: Mutex<bool>,
    position: Mutex<Vec<(String, Vec<u8>)>>,
    lines: Mutex<Vec<(Labels, Line)>>,
}

impl Deliver for Place {
    fn deliver(&self, batch: Batch<'_>) -> Result<()> {
        let Batch::Lines(lines) = batch else { panic!("the journal gives lines") };
        if *self.refuse.lock() {
            return Err(Error::unavailable("full"));
        }
        *self.position.lock() = vec![(lines.source.clone(), lines.position.clone())];
        let all = lines.streams.iter().flat_map(|s| s.lines.iter().map(|l| (s.labels.clone(), l.clone())));
        self.lines.lock().extend(all);
        Ok(())
    }
    fn positions(&self, _: &str) -> Vec<(String, Vec<u8>)> {
        self.position.lock().clone()
    }
    fn lost(&self, _: &Loss) {}
}

/// The cursors that were asked for, and what writes to the feed that was opened last.
#[derive(Default)]
struct Opened {
    cursors: Vec<Option<String>>,
    sender: Option<SyncSender<Vec<u8>>>,
}

fn source(place: &Arc<Place>, opened: &Arc<Mutex<Opened>>, relabel: &str) -> Source {
    let opened = opened.clone();
    let open: Open = Box::new(move |_, cursor| {
        let (sender, pieces) = sync_channel(16);
        let mut opened = opened.lock();
        opened.cursors.push(cursor.map(str::to_owned));
        opened.sender = Some(sender);
        Ok(Feed::of(pieces))
    });
    let context = Context { deliver: place.clone(), clock: Clock::manual(0), host: "h".into(), stats: Arc::default(), open };
    let relabel = serde_yaml_ng::from_str(relabel).unwrap();
    Source::new("x", Settings { job: "journal".into(), relabel, ..Settings::default() }, context)
}

fn entry(cursor: &str, time_us: i64, message: &str) -> Vec<u8> {
    let unit = "_SYSTEMD_UNIT=ssh.service\nSYSLOG_IDENTIFIER=sshd\n_PID=9\nPRIORITY=6";
    format!("__CURSOR={cursor}\n__REALTIME_TIMESTAMP={time_us}\n{unit}\nMESSAGE={message}\n\n").into_bytes()
}

fn send(opened: &Arc<Mutex<Opened>>, bytes: Vec<u8>) {
    opened.lock().sender.as_ref().unwrap().send(bytes).unwrap();
}

fn texts(place: &Place) -> Vec<(i64, String)> {
    place.lines.lock().iter().map(|(_, l)| (l.time_ns, l.text.clone())).collect()
}

#[test]
fn entries_are_lines_and_the_cursor_is_the_position() {
    let (place, opened) = (Arc::new(Place::default()), Arc::default());
    let mut s = source(&place, &opened, "[]");
    s.poll();
    send(&opened, [entry("c1", 5, "one"), entry("c2", 5, "one"), entry("c3", 6, "two")].concat());
    s.poll();
    assert_eq!(texts(&place), [(5000, "one".to_owned()), (5001, "one".to_owned()), (6000, "two".to_owned())]);
    let labels = [("app", "sshd"), ("host", "h"), ("job", "journal"), ("level", "info"), ("unit", "ssh.service")];
    assert_eq!(place.lines.lock()[0].0, Labels::from_pairs(labels).unwrap());
    assert_eq!(place.lines.lock()[0].1.metadata, [("pid".to_owned(), "9".to_owned())]);

    // The process dies and comes back.
    let mut s = source(&place, &opened, "[]");
    s.poll();
    assert_eq!(opened.lock().cursors, [None, Some("c3".to_owned())]);
}

#[test]
fn a_refused_batch_is_given_again_and_a_feed_that_ended_is_opened_after_it() {
    let (place, opened) = (Arc::new(Place::default()), Arc::default());
    let mut s = source(&place, &opened, "[]");
    s.poll();
    *place.refuse.lock() = true;
    send(&opened, entry("c1", 5, "one"));
    assert_eq!(s.poll(), Pause::Rest(Duration::from_secs(1)));
    opened.lock().sender = None;
    assert_eq!(s.poll(), Pause::Rest(Duration::from_secs(1)));
    *place.refuse.lock() = false;
    assert_eq!(s.poll(), Pause::Rest(AGAIN));
    s.poll();
    assert_eq!(texts(&place), [(5000, "one".to_owned())]);
    assert_eq!(opened.lock().cursors, [None, Some("c1".to_owned())]);
}

#[test]
fn rules_see_the_fields() {
    let (place, opened) = (Arc::new(Place::default()), Arc::default());
    let rules = "[{source_labels: [__journal__pid], target_label: process}, {regex: unit, action: labeldrop}]";
    let mut s = source(&place, &opened, rules);
    s.poll();
    send(&opened, entry("c1", 5, "one"));
    s.poll();
    let lines = place.lines.lock();
    assert_eq!((lines[0].0.get("process"), lines[0].0.get("unit"), lines[0].0.get("__journal__pid")), (Some("9"), None, None));
}

#[test]
fn journalctl_is_asked_for_what_is_new() {
    let mut s = Settings::default();
    assert!(arguments(&s, None).contains(&"--lines=0".to_owned()));
    let after = arguments(&s, Some("c1"));
    assert!(after.contains(&"--after-cursor=c1".to_owned()) && after.contains(&"--lines=all".to_owned()));
    (s.from, s.directory) = (From::Start, Some("/j".into()));
    assert!(arguments(&s, None).contains(&"--lines=all".to_owned()) && arguments(&s, None).contains(&"--directory=/j".to_owned()));
}
