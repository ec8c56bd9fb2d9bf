//! The drills.

use super::script::{Bounds, Drill, Reads, Step};
use crate::serve::drill::StoreFaults;

use Step::{
    CutOff, DiskFull, Drained, Flush, Freeze, Join, Kill, KillAll, Leave, Reconnect, SomeIncomplete, Start, StartAll, Stop, Store, Wait,
    Wake, Whole, Wipe,
};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;
/// As many as a fleet of a drill ever has; nodes that are not there are passed over.
const ALL: &[usize] = &[A, B, C, D];
const WELL: StoreFaults = StoreFaults { down: false, fail_percent: 0, delay_ms: 0 };

/// A node that is gone is noticed and routed around within 2 s.
const PROMPT: Bounds = Bounds { write_gap: 2.0, read_gap: 2.0, write_p99: 2.0 };
/// A node that does not answer and does not say that it is gone costs those who ask it first their own timeout as well.
const HUNG: Bounds = Bounds { read_gap: 3.0, ..PROMPT };
/// For drills in which nobody is there for a while.
const DARK: Bounds = Bounds { write_gap: 30.0, read_gap: 10.0, write_p99: 30.0 };

/// All drills, from the everyday to the rare.
pub const DRILLS: &[Drill] = &[
    Drill {
        name: "kill-one",
        story: "One node dies without a word (kill -9, and what it had not synced is lost), stays away, and comes back.",
        must: "Clients go on through the other nodes within 2 s.",
        nodes: &[2, 3],
        nodes_short: &[2, 3],
        bounds: PROMPT,
        clock_off: None,
        steps: &[Wait(3, 10), Kill(A), Wait(4, 30), Start(A), Whole(30), Wait(2, 10)],
    },
    Drill {
        name: "freeze-one",
        story: "One node hangs: it holds its connections and does nothing (SIGSTOP), then wakes and goes on as if no time had passed.",
        must: "Writes that were on their way to it end within 2 s; what it says after waking is true.",
        nodes: &[2, 3],
        nodes_short: &[2],
        bounds: HUNG,
        clock_off: None,
        steps: &[Wait(3, 10), Freeze(A), Wait(6, 30), Wake(A), Whole(30), Wait(2, 10)],
    },
    Drill {
        name: "wipe-disk",
        story: "One node loses its disk and comes back empty, as a new node. A minute later another one loses its disk, too.",
        must: "Within a minute the rows of the lost disk are on two nodes or in the object store again, so the second loss costs nothing.",
        nodes: &[2, 3],
        nodes_short: &[2],
        bounds: PROMPT,
        clock_off: None,
        steps: &[Wait(3, 10), Kill(A), Wipe(A), Start(A), Whole(60), Wait(1, 10), Kill(B), Wipe(B), Start(B), Whole(60), Wait(1, 10)],
    },
    Drill {
        name: "alone-then-dies",
        story: "Node a is down, so node b holds new rows alone, and cannot give them to the object store. Node a returns, and node b dies.",
        must: "Until node b is back, answers that may lack its rows say that they are incomplete; then nothing is lost.",
        nodes: &[2],
        nodes_short: &[2],
        bounds: Bounds { read_gap: 5.0, ..PROMPT },
        clock_off: None,
        steps: &[
            Wait(2, 10),
            Kill(A),
            // Long enough for node b to look up what node a had given to the object store before it died.
            Wait(3, 10),
            Store(&[B], StoreFaults { down: true, ..WELL }),
            Wait(2, 20),
            Start(A),
            Wait(2, 5),
            Step::Reads(Reads::MayLack),
            Kill(B),
            Wait(4, 20),
            SomeIncomplete,
            Start(B),
            Whole(60),
            Step::Reads(Reads::Whole),
            Wait(2, 10),
        ],
    },
    Drill {
        name: "cut-off",
        story: "One node loses its network: nobody reaches it and it reaches nobody. Then the network is back.",
        must: "The connected nodes go on within 2 s; the return of the lonely one does no harm.",
        nodes: &[2, 3],
        nodes_short: &[3],
        bounds: HUNG,
        clock_off: None,
        steps: &[Wait(3, 10), CutOff(A), Wait(6, 30), Reconnect(A), Whole(30), Wait(2, 10)],
    },
    Drill {
        name: "power-cut-all",
        story: "Every node loses power at the same moment, with what was not synced, and is started again.",
        must: "Nothing acknowledged is lost. (While nobody is there, nobody answers.)",
        nodes: &[1, 2, 3],
        nodes_short: &[1, 2],
        bounds: DARK,
        clock_off: None,
        steps: &[Wait(4, 20), Step::Reads(Reads::Nobody), KillAll, Wait(1, 5), StartAll, Whole(30), Step::Reads(Reads::Whole), Wait(3, 20)],
    },
    Drill {
        name: "store-down",
        story: "The object store cannot be reached for a while (ten minutes of an outage, compressed).",
        must: "Writes and reads of what is not in it yet go on; afterwards it takes what has waited.",
        nodes: &[2, 3],
        nodes_short: &[2],
        bounds: PROMPT,
        clock_off: None,
        steps: &[
            Wait(2, 10),
            Store(ALL, StoreFaults { down: true, ..WELL }),
            Wait(2, 60),
            Flush,
            Wait(4, 60),
            Store(ALL, WELL),
            Drained(30),
            Whole(60),
            Wait(1, 20),
        ],
    },
    Drill {
        name: "store-slow",
        story: "Each call of the object store takes a second and a half longer.",
        must: "Writes do not notice.",
        nodes: &[2],
        nodes_short: &[2],
        bounds: Bounds { read_gap: 10.0, ..PROMPT },
        clock_off: None,
        steps: &[
            Wait(2, 10),
            Store(ALL, StoreFaults { delay_ms: 1500, ..WELL }),
            Flush,
            Wait(6, 60),
            Store(ALL, WELL),
            Drained(60),
            Whole(60),
            Wait(1, 10),
        ],
    },
    Drill {
        name: "store-flaky",
        story: "Three of ten calls of the object store fail, some of them after they were done.",
        must: "Writes and reads go on; what failed is done again without harm.",
        nodes: &[2],
        nodes_short: &[2],
        bounds: PROMPT,
        clock_off: None,
        steps: &[
            Wait(2, 10),
            Store(ALL, StoreFaults { fail_percent: 30, ..WELL }),
            Flush,
            Wait(3, 30),
            Flush,
            Wait(3, 30),
            Store(ALL, WELL),
            Drained(60),
            Whole(60),
            Wait(1, 10),
        ],
    },
    Drill {
        name: "disk-full",
        story: "The disk of one node is full, then has room again.",
        must: "The other nodes take over; it heals by itself.",
        nodes: &[2, 3],
        nodes_short: &[2],
        bounds: PROMPT,
        clock_off: None,
        steps: &[Wait(3, 10), DiskFull(A, true), Wait(6, 30), DiskFull(A, false), Whole(60), Wait(2, 10)],
    },
    Drill {
        name: "rolling-restart",
        story: "Every node in turn is asked to stop and is started again, as for an upgrade.",
        must: "No request fails for good and no answer lacks a row.",
        nodes: &[3],
        nodes_short: &[3],
        bounds: PROMPT,
        clock_off: None,
        steps: &[Wait(2, 10), Stop(A), Start(A), Whole(30), Stop(B), Start(B), Whole(30), Stop(C), Start(C), Whole(30), Wait(2, 10)],
    },
    Drill {
        name: "join-and-leave",
        story: "A node joins the fleet, and another one leaves it for good.",
        must: "No request fails for good and no answer lacks a row; the rows of the node that left are there without it.",
        nodes: &[3],
        nodes_short: &[3],
        bounds: PROMPT,
        clock_off: None,
        steps: &[Wait(2, 10), Join(D), Whole(30), Wait(2, 10), Leave(A), Whole(60), Wait(2, 10)],
    },
    Drill {
        name: "clock-off",
        story: "The clock of one node is five minutes ahead of the others.",
        must: "Nothing depends on it.",
        nodes: &[2],
        nodes_short: &[2],
        bounds: PROMPT,
        clock_off: Some((A, 300)),
        steps: &[Wait(3, 15), Flush, Wait(2, 15), Kill(B), Wait(2, 10), Start(B), Whole(30), Drained(60), Wait(1, 10)],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_words_and_occur_once() {
        let names: BTreeSet<_> = DRILLS.iter().map(|d| d.name).collect();
        assert_eq!(names.len(), DRILLS.len());
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }

    /// A script must leave the fleet whole: what breaks is healed, and it ends after the fleet has been seen whole.
    #[test]
    fn scripts_heal_what_they_break() {
        for d in DRILLS {
            let count = |is: &dyn Fn(&Step) -> bool| d.steps.iter().filter(|s| is(s)).count();
            let down = count(&|s| matches!(s, Kill(_) | Stop(_)));
            assert_eq!(down, count(&|s| matches!(s, Start(_))), "{}", d.name);
            assert_eq!(count(&|s| matches!(s, KillAll)), count(&|s| matches!(s, StartAll)), "{}", d.name);
            assert_eq!(count(&|s| matches!(s, Freeze(_))), count(&|s| matches!(s, Wake(_))), "{}", d.name);
            assert_eq!(count(&|s| matches!(s, CutOff(_))), count(&|s| matches!(s, Reconnect(_))), "{}", d.name);
            assert_eq!(count(&|s| matches!(s, DiskFull(_, true))), count(&|s| matches!(s, DiskFull(_, false))), "{}", d.name);
            let whole = d.steps.iter().rposition(|s| matches!(s, Whole(_))).expect("a drill waits for the fleet to be whole");
            assert!(
                d.steps[whole..].iter().all(|s| matches!(s, Whole(_) | Drained(_) | Wait(..) | Step::Reads(Reads::Whole))),
                "{}",
                d.name
            );
            assert!(d.nodes_short.iter().all(|n| d.nodes.contains(n)), "{}: the full form leaves nothing out", d.name);
        }
    }
}
