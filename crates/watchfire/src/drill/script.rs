//! A drill as data: what happens, step by step, and what must hold.

use std::fmt;

use crate::serve::drill::StoreFaults;

/// A node of the fleet, by its place: 0 is node a.
pub type Place = usize;

/// The name of a node, for people.
pub fn name(place: Place) -> char {
    char::from(b'a' + place as u8)
}

/// How much load and how much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// Seconds, at 2 MB/s of logs: for every change.
    Short,
    /// As an operator would rehearse it, at 10 MB/s.
    Full,
}

/// What a reader may meet from a step on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// Every read is answered, whole.
    Whole,
    /// Every read is answered; an answer that lacks rows says so.
    MayLack,
    /// Nobody is there to ask.
    Nobody,
}

/// One step of a script. Load and readers run all the while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Let time pass: seconds of the short form, seconds of the full one.
    Wait(u64, u64),
    /// `kill -9`, and the power cut with it: what was not synced is lost.
    Kill(Place),
    /// All at the same moment.
    KillAll,
    /// Start it and wait until it is ready.
    Start(Place),
    /// All at the same moment.
    StartAll,
    /// Ask it to stop (SIGTERM), and wait until it has.
    Stop(Place),
    /// SIGSTOP: it holds its connections and does nothing.
    Freeze(Place),
    /// SIGCONT.
    Wake(Place),
    /// Remove its data directory while it is down.
    Wipe(Place),
    /// Nobody reaches it and it reaches nobody, clients included.
    CutOff(Place),
    /// The links are there again.
    Reconnect(Place),
    /// From now on the object store is like this for these nodes.
    Store(&'static [Place], StoreFaults),
    /// Ask every node to give everything it holds to the object store, and do not wait for it.
    Flush,
    /// Ask every node to give everything it holds to the object store: each must have done it within so many seconds.
    Drained(u64),
    /// Its disk takes nothing any more, or does again.
    DiskFull(Place, bool),
    /// A new node joins.
    Join(Place),
    /// It gives everything to the object store and says goodbye.
    Leave(Place),
    /// Wait until every node sees every other, nothing is held by one alone and nothing can be missing; at most so many seconds.
    Whole(u64),
    /// What readers may meet from here on.
    Reads(Reads),
    /// Since the last change of what readers may meet, some answer must have said that it is incomplete: else the drill has not shown what it is
    /// for.
    SomeIncomplete,
}

/// Times that must hold, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest time without any acknowledgement.
    pub write_gap: f64,
    /// Longest time without any answer, while somebody is there to ask.
    pub read_gap: f64,
    /// 99 of 100 writes are acknowledged within it, attempts and waiting included.
    pub write_p99: f64,
}

/// One drill.
pub struct Drill {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What happens and what it rehearses, in a sentence or two.
    pub story: &'static str,
    /// What must hold, in a sentence, beside what must hold in every drill.
    pub must: &'static str,
    /// Sizes of fleet it is run with, in its full form.
    pub nodes: &'static [usize],
    /// Sizes of fleet it is run with, in its short form.
    pub nodes_short: &'static [usize],
    /// Times that must hold.
    pub bounds: Bounds,
    /// The clock of this node is off by so many seconds from the start.
    pub clock_off: Option<(Place, i64)>,
    /// What happens.
    pub steps: &'static [Step],
}

impl Step {
    /// Whether it ends a fault: recovery is timed from here.
    pub fn heals(&self) -> bool {
        match self {
            Step::Start(_) | Step::StartAll | Step::Wake(_) | Step::Reconnect(_) | Step::DiskFull(_, false) | Step::Join(_) => true,
            Step::Store(_, faults) => *faults == StoreFaults::default(),
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Wait(..) => write!(f, "load goes on"),
            Step::Kill(n) => write!(f, "node {} is killed (kill -9)", name(*n)),
            Step::KillAll => write!(f, "every node loses power at the same moment"),
            Step::Start(n) => write!(f, "node {} is started", name(*n)),
            Step::StartAll => write!(f, "every node is started"),
            Step::Stop(n) => write!(f, "node {} is asked to stop", name(*n)),
            Step::Freeze(n) => write!(f, "node {} freezes (SIGSTOP)", name(*n)),
            Step::Wake(n) => write!(f, "node {} wakes (SIGCONT)", name(*n)),
            Step::Wipe(n) => write!(f, "the disk of node {} is wiped", name(*n)),
            Step::CutOff(n) => write!(f, "node {} is cut off the network", name(*n)),
            Step::Reconnect(n) => write!(f, "node {} is connected again", name(*n)),
            Step::Store(_, s) if *s == StoreFaults::default() => write!(f, "the object store is well again"),
            Step::Store(_, s) if s.down => write!(f, "the object store is down"),
            Step::Store(_, s) if s.fail_percent > 0 => write!(f, "the object store fails {} of 100 calls", s.fail_percent),
            Step::Store(_, s) => write!(f, "each call of the object store takes {} ms longer", s.delay_ms),
            Step::Flush => write!(f, "every node is asked to give what it holds to the object store"),
            Step::Drained(s) => write!(f, "the object store must have taken everything within {s} s"),
            Step::DiskFull(n, true) => write!(f, "the disk of node {} is full", name(*n)),
            Step::DiskFull(n, false) => write!(f, "the disk of node {} has room again", name(*n)),
            Step::Join(n) => write!(f, "node {} joins", name(*n)),
            Step::Leave(n) => write!(f, "node {} leaves for good", name(*n)),
            Step::Whole(s) => write!(f, "the fleet must be whole again within {s} s"),
            Step::Reads(Reads::Whole) => write!(f, "every read must be whole"),
            Step::Reads(Reads::MayLack) => write!(f, "an answer may lack rows if it says so"),
            Step::Reads(Reads::Nobody) => write!(f, "nobody is there to be asked"),
            Step::SomeIncomplete => write!(f, "some answers must have said that they are incomplete"),
        }
    }
}
