//! One member as this node sees it.

use std::time::Duration;

use serde::Serialize;

use super::record::{Life, Record, Rumor, State, Word};
use crate::settings::Timing;
use crate::transport::NodeId;

/// How a member stands, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Answers, and takes rows.
    Active,
    /// Answers, and is not whole yet.
    Joining,
    /// Answers, takes no rows, and is giving everything to the object store.
    Leaving,
    /// Does not answer.
    Silent,
}

/// A member to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub address: String,
    /// Its zone.
    pub zone: String,
    /// How it stands.
    pub condition: Condition,
    /// It is there for the first time and has taken no row yet: nothing can be missing because of it.
    pub empty: bool,
}

/// A member, for people.
#[derive(Clone, Debug, Serialize)]
pub struct MemberStatus {
    /// Who.
    pub id: NodeId,
    /// Where.
    pub address: String,
    /// Its zone.
    pub zone: String,
    /// How it stands.
    pub condition: Condition,
    /// This is the node that was asked.
    pub this_node: bool,
    /// Seconds since its hellos fail; 0 for one that answers.
    pub silent_seconds: f64,
    /// Since when it holds rows that nobody else has, nanoseconds since 1970.
    pub alone_since_ns: Option<i64>,
    /// Whether this node can tell what it may have done before it fell silent.
    pub known: bool,
    /// Silent members that it covers.
    pub covers: Vec<NodeId>,
}

/// What is kept of a member.
pub(super) struct Member {
    pub record: Record,
    /// Heard by this node, which has not been away itself since.
    known: bool,
    /// It spoke while it could not be asked, since the last look at the list of blocks.
    pub unlisted: bool,
    /// Another node that is here said the same of itself.
    vouched: bool,
    silent: bool,
    failing_since_ns: Option<i64>,
    pub avoid_until_ns: Option<i64>,
    pub avoided: u32,
}

impl Member {
    /// One of whom only others, or an earlier life of this node, know.
    pub fn unheard(record: Record) -> Self {
        Member {
            record,
            known: false,
            unlisted: false,
            vouched: false,
            silent: true,
            failing_since_ns: None,
            avoid_until_ns: None,
            avoided: 0,
        }
    }

    /// One of whom another node has just told.
    pub fn rumored(r: &Rumor) -> Self {
        Member { vouched: r.word == Word::Clean, ..Member::returned(r.life, &r.address) }
    }

    /// One that may have come back while nobody watched.
    pub fn returned(life: Life, address: &str) -> Self {
        Member::unheard(Record {
            life,
            address: address.to_owned(),
            zone: String::new(),
            state: State::Joining,
            alone_since_ns: None,
            covers: vec![],
            revision: 0,
        })
    }

    /// Takes in its own word, unless that is older than what is known.
    pub fn hear(&mut self, record: &Record, reached: bool) -> bool {
        let age = |r: &Record| (r.life.boot, r.revision);
        if age(record) < age(&self.record) {
            return false;
        }
        self.unlisted |= self.record != *record;
        self.record = record.clone();
        self.known = true;
        self.vouched = false;
        if reached {
            self.silent = false;
            self.unlisted = false;
            self.failing_since_ns = None;
        }
        true
    }

    /// Takes in what another node says of it. True if it is vouched for by that.
    pub fn listen(&mut self, r: &Rumor) -> bool {
        if !self.silent || r.life.boot < self.record.life.boot {
            return false;
        }
        if r.life.boot > self.record.life.boot {
            // It has lived again, and only others have heard it.
            self.record.life = r.life;
            self.record.revision = 0;
            self.record.alone_since_ns = None;
            self.known = false;
            self.vouched = false;
        }
        if !self.known && !r.address.is_empty() {
            self.record.address.clone_from(&r.address);
        }
        let vouches = r.word == Word::Clean && !self.known && self.record.alone_since_ns.is_none();
        vouches && !std::mem::replace(&mut self.vouched, true)
    }

    /// A hello failed. True if it falls silent by that.
    pub fn miss(&mut self, now_ns: i64, timing: &Timing) -> bool {
        let since = *self.failing_since_ns.get_or_insert(now_ns);
        now_ns - since >= timing.silent_after.as_nanos() as i64 && !std::mem::replace(&mut self.silent, true)
    }

    /// A call that cannot be explained otherwise failed. True if it falls silent by that.
    pub fn suspect(&mut self, now_ns: i64) -> bool {
        self.failing_since_ns.get_or_insert(now_ns);
        !std::mem::replace(&mut self.silent, true)
    }

    /// Nothing is known of it any more but what it says from now on.
    pub fn unknow(&mut self) {
        self.known = false;
        self.vouched = false;
    }

    pub fn avoid(&mut self, now_ns: i64, base: Duration) {
        let wait = base * (1 << self.avoided.min(3));
        self.avoided += 1;
        self.avoid_until_ns = Some(now_ns + wait.as_nanos() as i64);
    }

    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// It has said that it is there for the first time and takes no rows yet; before it takes one, all would hear of it.
    pub fn is_empty(&self) -> bool {
        self.known && self.record.state == State::Joining && self.record.life.boot == 1
    }

    pub fn is_known(&self) -> bool {
        self.known || self.vouched
    }

    /// How long it has been silent; zero for one that answers.
    pub fn silent_for(&self, now_ns: i64) -> Duration {
        match (self.silent, self.failing_since_ns) {
            (false, _) => Duration::ZERO,
            (true, since) => Duration::from_nanos(since.map_or(1, |s| (now_ns - s).max(1)) as u64),
        }
    }

    pub fn rumor(&self) -> Rumor {
        // Only what this node has watched itself: rumors of rumors would vouch for each other.
        let clean = self.known && self.record.alone_since_ns.is_none();
        Rumor { life: self.record.life, address: self.record.address.clone(), word: if clean { Word::Clean } else { Word::Unknown } }
    }

    fn condition(&self) -> Condition {
        match (self.silent, self.record.state) {
            (true, _) | (_, State::Left | State::Ended) => Condition::Silent,
            (_, State::Joining) => Condition::Joining,
            (_, State::Active) => Condition::Active,
            (_, State::Leaving) => Condition::Leaving,
        }
    }

    pub fn peer(&self) -> Peer {
        let r = &self.record;
        Peer { id: r.life.id, address: r.address.clone(), zone: r.zone.clone(), condition: self.condition(), empty: self.is_empty() }
    }

    pub fn status(&self, now_ns: i64) -> MemberStatus {
        MemberStatus {
            this_node: false,
            condition: self.condition(),
            silent_seconds: self.silent_for(now_ns).as_secs_f64(),
            known: self.is_known(),
            ..MemberStatus::of(&self.record)
        }
    }
}

impl MemberStatus {
    /// This node itself.
    pub(super) fn of_me(me: &Record) -> Self {
        let condition = match me.state {
            State::Joining => Condition::Joining,
            State::Active => Condition::Active,
            State::Leaving | State::Left | State::Ended => Condition::Leaving,
        };
        MemberStatus { condition, ..Self::of(me) }
    }

    fn of(r: &Record) -> Self {
        MemberStatus {
            id: r.life.id,
            address: r.address.clone(),
            zone: r.zone.clone(),
            condition: Condition::Active,
            this_node: true,
            silent_seconds: 0.0,
            alone_since_ns: r.alone_since_ns,
            known: true,
            covers: r.covers.iter().map(|l| l.id).collect(),
        }
    }
}
