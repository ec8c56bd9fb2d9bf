//! Random writing, rotation, refusals, crashes: every numbered line is stored once, or lies in a loss that is stated.

use std::collections::BTreeSet;

use base::Kind;
use proptest::prelude::*;

use super::tests::{Answer, Rig};

#[derive(Clone, Debug)]
enum Op {
    /// Lines; every seventh is as long as a few frames.
    Write(u8),
    Rotate,
    /// One step, with these answers of the store.
    Poll(Vec<u8>),
    /// The process dies and starts again.
    Crash,
    Stop,
    Start,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1..12u8).prop_map(Op::Write),
        4 => Just(Op::Rotate),
        5 => prop::collection::vec(0..6u8, 0..4).prop_map(Op::Poll),
        2 => Just(Op::Crash),
        1 => Just(Op::Stop),
        1 => Just(Op::Start),
    ];
    prop::collection::vec(op, 1..40)
}

fn answer(n: &u8) -> Answer {
    match n {
        0 => Answer::Refuse(Kind::Unavailable),
        1 => Answer::TakeAndSayNo,
        2 => Answer::Refuse(Kind::LimitExceeded),
        _ => Answer::Take,
    }
}

/// Writes line `n`, in frames where it is long, to one output or the other.
fn write(r: &Rig, n: i64) {
    let pipe = if n % 3 == 0 { "stderr" } else { "stdout" };
    let mut text = format!("line {n} ");
    if n % 7 == 0 {
        text.push_str(&"x".repeat(20_000));
    }
    let mut rest = text.as_str();
    while rest.len() > 16 << 10 {
        r.write("aa", pipe, n, &rest[..16 << 10]);
        rest = &rest[16 << 10..];
    }
    r.write("aa", pipe, n, &format!("{rest}\n"));
}

/// Runs `ops` against a Docker that keeps `max` files; returns the times of the lines that are missing, and the rig.
fn run(ops: Vec<Op>, max: usize, compress: bool) -> (BTreeSet<i64>, Rig) {
    let mut r = Rig::new();
    r.create("aa", "web", "json-file", false);
    r.write("aa", "stdout", 1, "line 1\n");
    // What was rotated away before the first look is beyond knowledge.
    r.poll();
    let mut last = 1;
    for op in ops {
        match op {
            Op::Write(n) => (0..n).for_each(|_| {
                last += 1;
                write(&r, last);
            }),
            Op::Rotate => r.rotate("aa", max, compress),
            Op::Poll(answers) => {
                *r.store.answer.lock() = answers.iter().map(answer).collect();
                r.poll();
                r.store.answer.lock().clear();
            }
            Op::Crash => r.restart(),
            Op::Stop => r.set_state("aa", "exited"),
            Op::Start => r.set_state("aa", "running"),
        }
    }
    for _ in 0..5 {
        r.poll();
    }
    let rows = r.store.rows.lock().clone();
    let got: Vec<i64> = rows.iter().map(|row| row.3.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    let once: BTreeSet<i64> = got.iter().copied().collect();
    assert_eq!(got.len(), once.len(), "doubled: {got:?}");
    assert!(rows.iter().all(|row| row.3.starts_with(&format!("line {}", row.0))), "a line has its first frame's time");
    ((1..=last).filter(|n| !once.contains(n)).collect(), r)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_once_while_docker_has_it(ops in ops(), compress: bool) {
        let (missing, r) = run(ops, 50, compress);
        prop_assert!(missing.is_empty(), "missing {:?}", missing);
        prop_assert!(r.store.losses.lock().is_empty());
    }

    #[test]
    fn what_docker_has_rotated_away_is_stated(ops in ops(), compress: bool) {
        // A long line whose frames are in two files would lose one of them alone.
        let ops = ops.into_iter().map(|op| if let Op::Write(n) = op { Op::Write(n.min(2)) } else { op }).collect();
        let (missing, r) = run(ops, 2, compress);
        let losses = r.store.losses.lock();
        for n in missing {
            let stated = losses.iter().any(|l| l.reason == "rotated_away" && l.first_ns.is_none_or(|f| f <= n) && l.last_ns.is_none_or(|e| n <= e));
            prop_assert!(stated, "{} is missing and no loss says so: {:?}", n, losses);
        }
    }
}
