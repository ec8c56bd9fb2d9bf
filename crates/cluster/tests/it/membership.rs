//! Who is there, and what may be missing when somebody is not (P6).

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::membership::Condition;

use crate::town::Town;

const SECOND: Duration = Duration::from_secs(1);

fn conditions(town: &Town, n: usize) -> Vec<Condition> {
    town.at(n).membership.others().iter().map(|p| p.condition).collect()
}

#[test]
fn nodes_find_each_other_through_one_seed() {
    let town = Town::running(1, 4);
    for n in 0..4 {
        assert_eq!(conditions(&town, n), [Condition::Active; 3], "as node {n} sees it");
    }
}

#[test]
fn a_dead_member_is_silent_within_two_seconds_and_one_death_of_a_clean_node_hides_nothing() {
    let mut town = Town::running(2, 3);
    town.stop(2);
    town.pass(Duration::from_millis(1800), &BTreeSet::new());
    assert!(conditions(&town, 0).contains(&Condition::Silent));
    assert_eq!(town.judge(0, &[2]), None, "its rows are on another node, too");
    assert!(town.judge(0, &[1, 2]).unwrap().contains("as many as there are copies"));
}

#[test]
fn a_node_that_kept_rows_alone_is_missed_when_it_falls_silent() {
    let mut town = Town::running(3, 2);
    town.stop(0);
    town.push(1, "a", "N s 1700200000000000000 alone\n").unwrap();
    assert!(town.at(1).membership.alone_since_ns().is_some());
    town.start(0).unwrap();
    assert_eq!(town.judge(0, &[]), None);
    assert!(town.judge(0, &[1]).unwrap().contains("no other node has"), "the mark was heard");
    // Uploaded, it is nobody's alone any more.
    town.pass(2 * SECOND, &BTreeSet::new());
    assert!(town.at(1).membership.alone_since_ns().is_none());
    assert_eq!(town.judge(0, &[1]), None);
}

#[test]
fn a_node_that_was_away_does_not_vouch_for_those_it_has_not_heard_since() {
    let mut town = Town::running(4, 2);
    town.stop(0);
    town.push(1, "a", "N s 1700200000000000000 alone\n").unwrap();
    town.stop(1);
    town.start(0).unwrap();
    assert!(town.judge(0, &[1]).unwrap().contains("could watch"), "node 0 remembers node 1, and knows nothing of it");
    town.start(1).unwrap();
    town.rounds(1, &BTreeSet::new());
    assert!(town.at(1).membership.alone_since_ns().is_some(), "the mark outlives the process");
    assert!(town.judge(0, &[1]).unwrap().contains("no other node has"));
}

#[test]
fn a_node_that_hung_knows_nothing_of_the_silent_ones_any_more() {
    let mut town = Town::running(5, 2);
    town.clock.advance_ns(30 * 1_000_000_000);
    town.stop(1);
    town.at(0).membership.round();
    assert!(town.judge(0, &[1]).is_some(), "thirty seconds in which node 1 may have done anything");
}

#[test]
fn a_third_node_vouches_for_what_it_has_watched() {
    let mut town = Town::running(6, 3);
    town.stop(2);
    town.rounds(2, &BTreeSet::new());
    town.stop(0);
    town.start(0).unwrap();
    town.rounds(2, &BTreeSet::new());
    assert_eq!(town.judge(0, &[2]), None, "node 1 has watched node 2 die, without the mark");
}

#[test]
fn a_lost_member_is_covered_and_forgotten_and_a_second_death_hides_nothing() {
    let mut town = Town::running(7, 3);
    town.stop(2);
    town.pass(12 * SECOND, &BTreeSet::new());
    assert_eq!(town.at(0).membership.others().len(), 1, "forgotten");
    assert_eq!(town.judge(0, &[2]), None);
    town.stop(1);
    town.pass(2 * SECOND, &BTreeSet::new());
    assert_eq!(town.judge(0, &[1, 2]), None, "all that nodes 1 and 2 shared went to the object store when 2 was lost");
    // It comes back as a member like any other.
    town.start(2).unwrap();
    town.rounds(2, &BTreeSet::new());
    assert_eq!(conditions(&town, 0).len(), 2);
}

#[test]
fn a_marked_member_is_not_forgotten_but_by_an_operator() {
    let mut town = Town::running(8, 2);
    town.stop(0);
    town.push(1, "a", "N s 1700200000000000000 alone\n").unwrap();
    town.start(0).unwrap();
    town.stop(1);
    town.pass(30 * SECOND, &BTreeSet::new());
    assert_eq!(town.at(0).membership.others().len(), 1);
    town.at(0).cluster.forget(town.nodes[1].id).unwrap();
    assert_eq!(town.at(0).membership.others().len(), 0);
    assert_eq!(town.at(0).cluster.forget(town.nodes[1].id).unwrap_err().kind(), base::Kind::NotFound);
}

#[test]
fn who_leaves_is_no_member_and_rumors_do_not_bring_it_back() {
    let mut town = Town::running(9, 3);
    town.push(2, "a", "N s 1700200000000000000 x\n").unwrap();
    town.at(2).cluster.leave(false).unwrap();
    town.stop(2);
    town.rounds(3, &BTreeSet::new());
    assert_eq!(conditions(&town, 0), [Condition::Active]);
    town.start(2).unwrap();
    town.rounds(2, &BTreeSet::new());
    assert_eq!(conditions(&town, 0), [Condition::Active; 2]);
}

#[test]
fn a_wiped_disk_is_another_node_and_the_old_one_is_missed_until_it_is_covered() {
    let mut town = Town::running(10, 2);
    let old = town.nodes[1].id;
    town.wipe(1, 99);
    town.start(1).unwrap();
    town.rounds(8, &BTreeSet::new());
    let ids: Vec<_> = town.at(0).membership.others().iter().map(|p| (p.id, p.condition)).collect();
    assert!(ids.contains(&(old, Condition::Silent)) && ids.contains(&(town.nodes[1].id, Condition::Active)), "{ids:?}");
    town.pass(12 * SECOND, &BTreeSet::new());
    assert_eq!(conditions(&town, 0), [Condition::Active]);
}

#[test]
fn nodes_of_another_cluster_are_refused_on_both_sides() {
    let town = Town::running(11, 1);
    let mut settings = town.at(0).membership.settings().clone();
    settings.name = "village".into();
    settings.address = "stranger".into();
    let fs = std::sync::Arc::new(disk::SimFs::seeded(1));
    disk::Fs::create_dir_all(&*fs, "/data".as_ref()).unwrap();
    let stranger = cluster::membership::Membership::open(
        settings,
        cluster::transport::NodeId(77),
        fs,
        "/data".as_ref(),
        town.clock.clone(),
        town.net.end("stranger"),
    )
    .unwrap();
    stranger.round();
    assert!(stranger.others().is_empty() && town.at(0).membership.others().is_empty());
    assert!(stranger.refusal().unwrap().contains("cluster.name"));
    assert!(town.at(0).membership.refusal().unwrap().contains("village"));
}

#[test]
fn a_node_that_hung_judges_as_one_also_before_its_next_round() {
    let mut town = Town::running(12, 2);
    town.clock.advance_ns(30 * 1_000_000_000);
    town.stop(1);
    assert!(town.judge(0, &[1]).is_some(), "thirty seconds in which node 1 may have done anything");
}

#[test]
fn a_node_that_left_may_have_come_back_while_nobody_watched() {
    let mut town = Town::running(13, 2);
    town.at(1).cluster.leave(false).unwrap();
    town.stop(1);
    town.rounds(2, &BTreeSet::new());
    let (node_0, node_1) = (town.nodes[0].id, town.nodes[1].id);
    assert_eq!((town.judge(0, &[1]), conditions(&town, 0).len()), (None, 0));
    town.stop(0);
    // Node 1 takes a row alone, and dies.
    town.start(1).unwrap();
    town.push(1, "a", "N s 1700200000000000000 alone\n").unwrap();
    town.stop(1);
    town.start(0).unwrap();
    let (got, lacks) = town.ask(0, "a").unwrap();
    assert!(got.is_empty() && lacks.iter().any(|l| l.contains("watchfire cluster forget")), "{lacks:?}");
    // An operator's word ends it, over a restart, too.
    town.at(0).cluster.forget(node_1).unwrap();
    town.stop(0);
    town.start(0).unwrap();
    assert_eq!(town.ask(0, "a").unwrap().1, Vec::<String>::new());
    // And so does a goodbye for good.
    town.start(1).unwrap();
    town.rounds(2, &BTreeSet::new());
    town.at(0).cluster.leave(true).unwrap();
    town.stop(0);
    town.stop(1);
    town.start(1).unwrap();
    assert_eq!(town.judge(1, &[0]), None, "{node_0} said that it would not come back");
    assert_eq!(town.ask(1, "a").unwrap().1, Vec::<String>::new());
}

#[test]
fn who_watched_says_so_to_those_who_did_not() {
    let mut town = Town::running(14, 3);
    town.at(2).cluster.leave(false).unwrap();
    town.stop(2);
    town.rounds(2, &BTreeSet::new());
    town.stop(0);
    town.start(0).unwrap();
    town.rounds(2, &BTreeSet::new());
    assert_eq!(conditions(&town, 0), [Condition::Active], "node 1 was there: node 2 did not come back");
    // A node that never met the one that left passes it on.
    let n = town.add(77);
    town.start(n).unwrap();
    town.rounds(2, &BTreeSet::new());
    town.stop(1);
    town.stop(0);
    town.start(0).unwrap();
    town.rounds(2, &BTreeSet::new());
    assert!(!town.at(0).membership.others().iter().any(|p| p.id == town.nodes[2].id));
}

#[test]
fn a_forgotten_node_that_wakes_is_heard_before_it_shares_a_row() {
    let town = Town::running(15, 3);
    let asleep = BTreeSet::from([2]);
    town.net.hang("node-2", true);
    town.pass(12 * SECOND, &asleep);
    assert_eq!(conditions(&town, 0), [Condition::Active], "node 2 is forgotten");
    town.net.hang("node-2", false);
    town.push(2, "a", "N s 1700200000000000000 x\n").unwrap();
    // Before any round: nodes 0 and 1 know that it is back, so its fall and that of a holder are two.
    for (one, other) in [(0, 1), (1, 0)] {
        assert!(town.judge(one, &[2, other]).is_some(), "as node {one} sees it");
    }
}

#[test]
fn a_limit_is_shared_by_those_who_take_and_whole_where_one_takes_alone() {
    let mut town = Town::running(16, 3);
    let limit = cluster::Rate { bytes_per_second: 1000, burst_bytes: 2000 };
    let a = base::Tenant::new("a").unwrap();
    let share = |town: &Town, n: usize| town.at(n).membership.rates().share(&a, "notes", limit).bytes_per_second;
    for _ in 0..300 {
        town.at(0).membership.rates().took(&a, "notes", 60);
        town.rounds(1, &BTreeSet::new());
    }
    assert_eq!(share(&town, 0), 1000, "node 0 takes alone");
    assert!((650..=750).contains(&share(&town, 1)), "it leaves {}", share(&town, 1));
    town.stop(0);
    town.rounds(15, &BTreeSet::new());
    assert_eq!(share(&town, 1), 1000, "node 0 takes nothing any more");
}

#[test]
fn a_mark_that_cannot_be_written_down_is_none() {
    let mut town = Town::running(17, 2);
    town.nodes[0].fs.set_capacity(0);
    for _ in 0..2 {
        assert!(town.at(0).membership.mark_alone().is_err(), "the disk is full");
        assert!(town.at(0).membership.alone_since_ns().is_none());
    }
    town.nodes[0].fs.set_capacity(u64::MAX);
    town.at(0).membership.mark_alone().unwrap();
    town.stop(0);
    town.nodes[0].fs.power_cut();
    town.start(0).unwrap();
    assert!(town.at(0).membership.alone_since_ns().is_some(), "the mark outlives a power cut");
}
