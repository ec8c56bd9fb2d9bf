//! Random appends, rotations, refusals, crashes: every numbered line is stored exactly once.

use base::Kind;
use proptest::prelude::*;

use super::From;
use super::tests::{Answer, Rig};

#[derive(Clone, Debug)]
enum Op {
    /// Lines, the last one cut after so many bytes of its end; the rest follows with the next.
    Append {
        lines: u8,
        hold_back: u8,
    },
    /// One step, with these answers of the store: taken, refused, stored without saying so, refused for the stream.
    Poll(Vec<u8>),
    /// The process dies and starts again.
    Crash,
    Rename,
    CopyTruncate,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1..20u8, 0..12u8).prop_map(|(lines, hold_back)| Op::Append { lines, hold_back }),
        6 => prop::collection::vec(0..6u8, 0..4).prop_map(Op::Poll),
        2 => Just(Op::Crash),
        2 => Just(Op::Rename),
        2 => Just(Op::CopyTruncate),
    ];
    prop::collection::vec(op, 1..40)
}

/// Writes numbered lines into `a.log`, which is rotated under it.
struct Writer {
    next: u32,
    held: String,
    moved: u32,
}

impl Writer {
    fn append(&mut self, r: &Rig, lines: u8, hold_back: u8) {
        let mut text = std::mem::take(&mut self.held);
        for _ in 0..lines {
            text.push_str(&format!("line {} {}\n", self.next, "x".repeat(self.next as usize % 60)));
            self.next += 1;
        }
        let keep = text.len() - (hold_back as usize).min(text.len());
        self.held = text.split_off(keep);
        r.append("a.log", text);
    }
    /// The line under way is finished before a rotation, as loggers do that write whole lines.
    fn finish_line(&mut self, r: &Rig) -> String {
        r.append("a.log", std::mem::take(&mut self.held));
        self.moved += 1;
        format!("a.log.{}", self.moved)
    }
}

fn answer(n: &u8) -> Answer {
    match n {
        0 => Answer::Refuse(Kind::Unavailable),
        1 => Answer::TakeAndSayNo,
        2 => Answer::Refuse(Kind::LimitExceeded),
        _ => Answer::Take,
    }
}

/// Polls until nothing is left.
fn settle(r: &mut Rig) {
    for _ in 0..3 {
        for _ in 0..20 {
            let p = r.poll();
            if p.lines == 0 && !p.more && p.wait.is_none() {
                break;
            }
        }
        r.poll_later();
    }
}

fn run(pattern: &str, ops: Vec<Op>) {
    let mut r = Rig::new(pattern, From::Start);
    let mut w = Writer { next: 0, held: String::new(), moved: 0 };
    for op in ops {
        match op {
            Op::Append { lines, hold_back } => w.append(&r, lines, hold_back),
            Op::Poll(answers) => {
                *r.store.answer.lock() = answers.iter().map(answer).collect();
                r.poll();
                r.store.answer.lock().clear();
            }
            Op::Crash => r.restart(),
            // Renaming more than once between two looks is found by name and age, which needs a position to begin with.
            Op::Rename if r.path("a.log").exists() => {
                let to = w.finish_line(&r);
                r.poll();
                r.rename("a.log", &to);
            }
            // A copy is found by what was read of the original: something must have been, since it was truncated last.
            Op::CopyTruncate if r.path("a.log").exists() => {
                w.append(&r, 1, 0);
                settle(&mut r);
                w.append(&r, 3, 0);
                let to = w.finish_line(&r);
                r.copy_truncate("a.log", &to);
            }
            Op::Rename | Op::CopyTruncate => {}
        }
    }
    w.finish_line(&r);
    settle(&mut r);
    let mut got: Vec<u32> = r.lines().iter().map(|l| l.split(' ').nth(1).unwrap_or(l).parse().expect(l)).collect();
    got.sort_unstable();
    assert_eq!(got, (0..w.next).collect::<Vec<_>>());
    assert!(r.store.losses.lock().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_once_where_the_pattern_names_the_file(ops in ops()) {
        run("a.log", ops);
    }

    #[test]
    fn every_line_once_where_the_pattern_also_finds_the_old_ones(ops in ops()) {
        run("a.log*", ops);
    }
}
