//! How many nodes hold a row when it is acknowledged (P1), and what happens when they cannot (P7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base::Kind;
use bytes::Bytes;
use cluster::Degraded;
use cluster::transport::{Answer, Messages, Method, Transport};
use parking_lot::Mutex;

use crate::town::Town;

const LINE: &str = "N s 1700200000000000000 x\n";

fn holders(town: &Town) -> Vec<usize> {
    (0..town.nodes.len()).filter(|n| town.nodes[*n].running.is_some() && !town.held(*n, "a").is_empty()).collect()
}

#[test]
fn a_row_is_on_two_nodes_when_it_is_acknowledged() {
    let town = Town::running(1, 3);
    town.push(0, "a", LINE).unwrap();
    let held = holders(&town);
    assert!(held.len() == 2 && held.contains(&0), "{held:?}");
    assert!(town.at(0).membership.alone_since_ns().is_none());
}

#[test]
fn a_member_that_hangs_or_is_gone_is_replaced_before_the_writer_is_answered() {
    for hang in [true, false] {
        for victim in [1, 2] {
            let mut town = Town::running(2, 3);
            if hang {
                town.net.hang(&town.nodes[victim].address.clone(), true);
            } else {
                town.stop(victim);
            }
            town.push(0, "a", LINE).unwrap();
            town.net.heal();
            let held = holders(&town);
            assert!(held.contains(&0) && held.contains(&(3 - victim)), "hang {hang}, victim {victim}: {held:?}");
            assert!(town.at(0).membership.alone_since_ns().is_none());
        }
    }
}

#[test]
fn a_member_that_reads_fewer_rows_in_a_body_holds_no_copy_of_it() {
    let mut town = Town::new(9, 3);
    town.without_events = [1].into();
    town.start_all();
    for i in 0..4 {
        town.push(0, "a", &format!("E s 1700200000000 7 {i} 8\n")).unwrap();
    }
    assert_eq!((town.held(0, "a").len(), town.held(1, "a").len(), town.held(2, "a").len()), (4, 0, 4));
    assert!(town.at(0).membership.alone_since_ns().is_none());
    town.stop(2);
    town.push(0, "a", "E s 1700200000000 7 9 8\n").unwrap();
    assert!(town.at(0).membership.alone_since_ns().is_some(), "nobody else has it whole");
}

#[test]
fn with_nobody_else_a_row_is_kept_alone_or_refused_as_the_policy_says() {
    let mut town = Town::running(3, 2);
    town.stop(1);
    town.push(0, "a", LINE).unwrap();
    assert!(town.at(0).membership.alone_since_ns().is_some());
    let mut town = Town::new(3, 2);
    town.degraded = Degraded::Refuse;
    town.start(0).unwrap();
    let e = town.push(0, "a", LINE).unwrap_err();
    assert_eq!((e.kind(), e.retry_hint().is_some()), (Kind::Unavailable, true));
}

#[test]
fn a_full_disk_makes_others_take_over() {
    let town = Town::running(4, 3);
    town.nodes[0].fs.set_capacity(town.nodes[0].fs.total_bytes());
    town.push(0, "a", LINE).unwrap();
    assert_eq!(holders(&town), [1, 2]);
}

#[test]
fn the_only_holder_bears_the_mark_even_if_it_is_another_node() {
    let town = Town::running(5, 2);
    town.nodes[0].fs.set_capacity(town.nodes[0].fs.total_bytes());
    town.push(0, "a", LINE).unwrap();
    assert_eq!(holders(&town), [1]);
    assert!(town.at(1).membership.alone_since_ns().is_some(), "node 1 holds it alone");
    assert!(town.judge(0, &[1]).is_some(), "and node 0 was told before the acknowledgement");
}

#[test]
fn copies_whose_answer_is_lost_count_as_not_there() {
    let town = Town::running(6, 2);
    let (a, b) = (town.nodes[0].address.clone(), town.nodes[1].address.clone());
    town.at(0).membership.introduce().unwrap();
    town.net.mute(&a, &b, true);
    town.push(0, "a", LINE).unwrap();
    assert!(town.at(0).membership.alone_since_ns().is_some());
    assert_eq!(holders(&town), [0, 1], "the copy had arrived all the same");
    town.net.heal();
    town.pass(Duration::from_secs(4), &BTreeSet::new());
    assert!(town.at(0).membership.alone_since_ns().is_none());
}

#[test]
fn ordinals_refused_by_a_rate_are_refused_on_every_copy() {
    struct Second;
    impl table::Admission for Second {
        fn may_refuse(&self) -> bool {
            true
        }
        fn limits_entries(&self, _: &'static table::TableSpec) -> bool {
            true
        }
        fn entry(&self, _: &base::Tenant, _: &'static table::TableSpec, series: u128, _: u64) -> bool {
            series.is_multiple_of(2)
        }
        fn body(&self, _: &base::Tenant, _: Option<&'static table::TableSpec>, _: u64, _: u64) -> base::Result<()> {
            Ok(())
        }
    }
    let town = Town::running(7, 2);
    let body: String = (0..20).map(|i| format!("N s{i} 1700200000000000000 x{i}\n")).collect();
    let done = town.at(0).cluster.write(crate::toy::header("a", &town.clock, None), body.into(), Some(&Second)).unwrap();
    assert!(!done.refusals.is_empty() && done.rows > 0);
    assert_eq!(town.held(0, "a").len() as u64, done.rows);
    assert_eq!(town.held(0, "a"), town.held(1, "a"));
    let mut town = town;
    town.stop(1);
    town.nodes[1].fs.power_cut();
    town.start(1).unwrap();
    assert_eq!(town.held(0, "a"), town.held(1, "a"), "also after a replay");
}

#[test]
fn a_joining_or_leaving_node_takes_nothing() {
    let town = Town::running(8, 2);
    town.at(1).membership.set_state(cluster::membership::State::Leaving);
    assert_eq!(town.push(1, "a", LINE).unwrap_err().kind(), Kind::Unavailable);
    town.push(0, "a", LINE).unwrap();
    assert_eq!(holders(&town), [0]);
}

/// Copies are under way until this node says hello to somebody, or for five seconds.
struct Slow {
    inner: Arc<dyn Transport>,
    held: Mutex<Option<Receiver<()>>>,
    hello: Sender<()>,
}

impl Transport for Slow {
    fn call(&self, address: &str, method: Method, body: Bytes, deadline: Duration, answer: Answer) {
        if method == Method::Append
            && let Some(hello) = self.held.lock().take()
        {
            let (inner, address) = (self.inner.clone(), address.to_owned());
            while hello.try_recv().is_ok() {}
            let later = move || {
                let _ = hello.recv_timeout(Duration::from_secs(5));
                inner.call(&address, method, body, deadline, answer);
            };
            std::thread::Builder::new().name("slow".into()).spawn(later).unwrap();
            return;
        }
        self.inner.call(address, method, body, deadline, answer);
        if method == Method::Hello {
            let _ = self.hello.send(());
        }
    }
    fn stream(&self, address: &str, method: Method, body: Bytes, deadline: Duration) -> base::Result<Messages> {
        self.inner.stream(address, method, body, deadline)
    }
}

/// Else a writer waits for a member that hangs twice: for its copy, and then for it to hear of the mark.
#[test]
fn with_nobody_left_to_ask_the_mark_is_told_while_the_copy_is_still_awaited() {
    let mut town = Town::new(9, 2);
    town.wires = Some(Box::new(|node, inner| {
        let (hello, held) = channel();
        if node == 0 { Arc::new(Slow { inner, held: Mutex::new(Some(held)), hello }) } else { inner }
    }));
    town.start_all();
    town.push(0, "a", LINE).unwrap();
    assert!(town.at(0).membership.alone_since_ns().is_some(), "the copy came only after the mark was told");
    assert_eq!(holders(&town), [0, 1]);
}
