//! Who belongs to the cluster, who is there, and what may be missing when somebody is not.
//!
//! **Constraints.** Two nodes must be enough, so nobody votes. Whether a member is there is what *this* node sees of it, never
//! hearsay. An answer may be called whole only if nothing can be missing (promise P6), whatever has crashed, hung or been
//! cut off, and in whatever order. The simulation runs this code, so it has no thread and no time of its own.
//!
//! **Design.** Each node says hello to each ([`Membership::round`]); a hello carries the sender's record and its rumors of others. A
//! member is silent when its hellos fail. Beside that, two facts are kept of every member: whether its last word bore the alone
//! mark, and whether it is *known*: this node has heard it and has not been away itself since. [`Membership::judge`] is
//! the one predicate of P6; [`Membership::forgettable`] the one that ends a member. `docs/decisions/0005-the-cluster.md` says why it is right.

mod record;
mod view;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Kind, Result};
use bytes::Bytes;
use disk::Fs;
use parking_lot::Mutex;

pub use record::{Hello, Life, Record, Rumor, State, VERSION};
pub use view::{Condition, MemberStatus, Peer};

use crate::limits;
use crate::settings::Settings;
use crate::transport::{Answers, Method, NodeId, Transport};
use record::{Memory, Remembered};
use view::Member;

struct Inner {
    me: Record,
    members: BTreeMap<NodeId, Member>,
    forgotten: BTreeMap<NodeId, u64>,
    /// Members that fell silent or left so far: what they committed before may not be known here.
    departures: u64,
    /// When the last round began, by the time that passes.
    last_round_ns: Option<i64>,
    /// The last refusal by another cluster or version, told once.
    refused: Option<String>,
    /// Where somebody may answer who is no member yet.
    seeds: Vec<String>,
}

/// The members of a cluster as one node sees them.
pub struct Membership {
    settings: Settings,
    clock: Clock,
    transport: Arc<dyn Transport>,
    memory: Memory,
    inner: Mutex<Inner>,
    /// One change of what is remembered at a time, so that an older one never overwrites a newer.
    saving: Mutex<()>,
}

impl Membership {
    /// A node that joins: it remembers whom it has met from `dir` and has heard of nobody yet.
    pub fn open(
        settings: Settings,
        id: NodeId,
        fs: Arc<dyn Fs>,
        dir: &Path,
        clock: Clock,
        transport: Arc<dyn Transport>,
    ) -> Result<Arc<Self>> {
        settings.timing.check()?;
        let memory = Memory::new(fs, dir);
        let mut remembered = memory.load()?;
        remembered.boot += 1;
        memory.save(&remembered)?;
        let me = Record {
            life: Life { id, boot: remembered.boot },
            address: settings.address.clone(),
            zone: settings.zone.clone(),
            state: State::Joining,
            alone_since_ns: remembered.alone_since_ns,
            covers: vec![],
            revision: 0,
        };
        let members = remembered.members.into_iter().filter(|r| r.life.id != id).map(|r| (r.life.id, Member::unheard(r))).collect();
        let inner = Inner {
            me,
            members,
            forgotten: remembered.forgotten,
            departures: 0,
            last_round_ns: None,
            refused: None,
            seeds: settings.seeds.clone(),
        };
        Ok(Arc::new(Membership { settings, clock, transport, memory, inner: Mutex::new(inner), saving: Mutex::default() }))
    }

    /// From the next round on, looks for nodes at these addresses: names may have got others.
    pub fn set_seeds(&self, seeds: Vec<String>) {
        self.inner.lock().seeds = seeds;
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.inner.lock().me.life.id
    }

    /// What this cluster was set to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What this node does now.
    pub fn state(&self) -> State {
        self.inner.lock().me.state
    }

    /// Says to everyone from the next hello on what this node does.
    pub fn set_state(&self, state: State) {
        self.inner.lock().change(|me| me.state = state);
    }

    /// Since when this node bears the alone mark, nanoseconds since 1970.
    pub fn alone_since_ns(&self) -> Option<i64> {
        self.inner.lock().me.alone_since_ns
    }

    /// Sets the alone mark. When it returns, the mark is durable and every member that answers knows of it; one that does not
    /// answer in time is silent. To be called before a row is acknowledged that fewer than `replication` nodes hold.
    pub fn mark_alone(&self) -> Result<()> {
        let now_ns = self.clock.now_ns();
        self.inner.lock().change(|me| {
            me.alone_since_ns.get_or_insert(now_ns);
        });
        self.save()?;
        let told = self.say_hello(&self.addresses(false));
        let mut inner = self.inner.lock();
        let now = self.clock.elapsed_ns();
        let untold = inner.members.values_mut().filter(|m| !told.contains(&m.record.life.id));
        let fell_silent: usize = untold.map(|m| usize::from(m.suspect(now))).sum();
        inner.departures += fell_silent as u64;
        Ok(())
    }

    /// Takes the mark away: all rows that bore it are in the object store. Durable when it returns; others learn of it with the next hello.
    pub fn clear_alone(&self) -> Result<()> {
        if self.alone_since_ns().is_none() {
            return Ok(());
        }
        self.inner.lock().change(|me| me.alone_since_ns = None);
        self.save()
    }

    /// One round of hellos, to members and to seeds that are no members yet. Returns when each is answered or too late.
    pub fn round(&self) {
        let now = self.clock.elapsed_ns();
        {
            let mut inner = self.inner.lock();
            let limit = self.settings.timing.pause_limit.as_nanos() as i64;
            if inner.last_round_ns.replace(now).is_some_and(|last| now - last > limit) {
                // I was away: what silent members did meanwhile I cannot know.
                inner.members.values_mut().for_each(Member::unknow);
            }
        }
        self.say_hello(&self.addresses(true));
        // A member that is said to answer where this node does has lost its disk.
        self.miss(&self.settings.address, None);
    }

    /// Where members answer, and, with `seeds`, whoever answers where one might.
    fn addresses(&self, seeds: bool) -> Vec<String> {
        let inner = self.inner.lock();
        let mut to: Vec<String> = inner.members.values().map(|m| m.record.address.clone()).collect();
        if seeds {
            to.extend(inner.seeds.iter().cloned());
        }
        to.sort();
        to.dedup();
        to.retain(|a| *a != inner.me.address);
        to
    }

    /// Says hello to all of them at once; returns who answered.
    fn say_hello(&self, to: &[String]) -> Vec<NodeId> {
        let body: Bytes = match self.hello().encode() {
            Ok(b) => b.into(),
            Err(e) => {
                tracing::error!(error = %e, "a hello cannot be written");
                return vec![];
            }
        };
        let answers = Answers::default();
        let deadline = self.settings.timing.hello_deadline;
        for address in to {
            self.transport.call(address, Method::Hello, body.clone(), deadline, answers.of(address.clone()));
        }
        let mut heard = vec![];
        for _ in to {
            // Each call answers within its deadline; the rest is for a machine that is slow to say so.
            let Some((address, result)) = answers.next(deadline * 2) else { break };
            match result.and_then(|b| Hello::decode(&b, &self.settings.name)) {
                Ok(h) => {
                    let id = h.from.life.id;
                    if self.hear(&h, true) {
                        heard.push(id);
                    }
                    // Whoever answered here before has lost its disk or its address.
                    self.miss(&address, Some(id));
                }
                Err(e) => {
                    if e.kind() == Kind::Forbidden {
                        self.note_refusal(&e);
                    }
                    self.miss(&address, None);
                }
            }
        }
        heard
    }

    /// Answers a hello.
    pub fn answer(&self, body: &Bytes) -> Result<Bytes> {
        let h = Hello::decode(body, &self.settings.name).inspect_err(|e| self.note_refusal(e))?;
        self.hear(&h, false);
        Ok(self.hello().encode()?.into())
    }

    fn hello(&self) -> Hello {
        let inner = self.inner.lock();
        let mut others: Vec<Rumor> = inner.members.values().map(Member::rumor).collect();
        others.extend(inner.forgotten.iter().map(|(&id, &boot)| Rumor {
            life: Life { id, boot },
            address: String::new(),
            clean: true,
            forgotten: true,
        }));
        others.truncate(limits::MEMBERS);
        Hello { cluster: self.settings.name.clone(), version: VERSION, from: inner.me.clone(), others }
    }

    /// Takes in what a node says of itself and of others. `reached` when it answered a call of ours. False if it is a message from
    /// the past, or from ourselves.
    fn hear(&self, h: &Hello, reached: bool) -> bool {
        let remember = {
            let mut inner = self.inner.lock();
            let id = h.from.life.id;
            if id == inner.me.life.id {
                return false;
            }
            let before = inner.remembered();
            if h.from.state == State::Left {
                inner.bury(h.from.life);
            } else if inner.members.len() >= limits::MEMBERS && !inner.members.contains_key(&id) {
                tracing::warn!(node = %h.from.address, "a cluster has at most {} nodes: this one is not taken in", limits::MEMBERS);
                return false;
            } else {
                inner.forgotten.remove(&id);
                let m = inner.members.entry(id).or_insert_with(|| Member::unheard(h.from.clone()));
                if !m.hear(&h.from, reached) {
                    return false;
                }
                inner.uncover(id);
                inner.listen(&h.others);
            }
            inner.remembered() != before
        };
        if remember && let Err(e) = self.save() {
            // The member is known as long as this process lives; the next change tries again.
            tracing::error!(error = %e, "members cannot be remembered");
        }
        true
    }

    /// The members that should answer at `address` did not, but for one.
    fn miss(&self, address: &str, but: Option<NodeId>) {
        let now = self.clock.elapsed_ns();
        let mut inner = self.inner.lock();
        let missed = inner.members.values_mut().filter(|m| m.record.address == address && Some(m.record.life.id) != but);
        let fell_silent: usize = missed.map(|m| usize::from(m.miss(now, &self.settings.timing))).sum();
        inner.departures += fell_silent as u64;
    }

    /// A refusal is told once, not with every round.
    fn note_refusal(&self, e: &base::Error) {
        let mut inner = self.inner.lock();
        if inner.refused.as_deref() != Some(e.message()) {
            tracing::error!(error = %e, "a node was refused");
            inner.refused = Some(e.message().to_owned());
        }
    }

    /// The last refusal by or of a node of another cluster or version.
    pub fn refusal(&self) -> Option<String> {
        self.inner.lock().refused.clone()
    }

    /// Writes down what must outlive the process, if it has changed.
    fn save(&self) -> Result<()> {
        let _one = self.saving.lock();
        let what = self.inner.lock().remembered();
        self.memory.save(&what)
    }

    /// A call to this member failed: it is silent until its next hello.
    pub fn suspect(&self, id: NodeId) {
        let now = self.clock.elapsed_ns();
        let mut inner = self.inner.lock();
        let fell_silent = inner.members.get_mut(&id).is_some_and(|m| m.suspect(now));
        inner.departures += u64::from(fell_silent);
    }

    /// How many times a member fell silent or left, as seen here. Whoever looks at blocks must have read their list since the last
    /// time: nobody is left to name what that member committed.
    pub fn departures(&self) -> u64 {
        self.inner.lock().departures
    }

    /// This member could not keep a copy in time or at all: it is passed over for a while, longer each time.
    pub fn avoid(&self, id: NodeId) {
        let (now, base) = (self.clock.elapsed_ns(), self.settings.timing.avoid);
        if let Some(m) = self.inner.lock().members.get_mut(&id) {
            m.avoid(now, base);
        }
    }

    /// This member kept a copy.
    pub fn praise(&self, id: NodeId) {
        if let Some(m) = self.inner.lock().members.get_mut(&id) {
            m.avoided = 0;
            m.avoid_until_ns = None;
        }
    }

    /// All other members, with their conditions.
    pub fn others(&self) -> Vec<Peer> {
        let inner = self.inner.lock();
        inner.members.values().map(Member::peer).collect()
    }

    /// Members that do not answer now.
    pub fn silent(&self) -> Vec<NodeId> {
        self.inner.lock().members.values().filter(|m| m.is_silent()).map(|m| m.record.life.id).collect()
    }

    /// Members that could take a copy now, best first: `key` decides among equals, another zone comes before one's own.
    pub fn takers(&self, key: u64) -> Vec<Peer> {
        let inner = self.inner.lock();
        let now = self.clock.elapsed_ns();
        let mut takers: Vec<(bool, u64, Peer)> = inner
            .members
            .values()
            .filter(|m| m.avoid_until_ns.is_none_or(|t| t <= now))
            .map(Member::peer)
            .filter(|p| p.condition == Condition::Active)
            .map(|p| {
                let same_zone = !p.zone.is_empty() && p.zone == inner.me.zone;
                (same_zone, base::hash::hash64(&[key.to_le_bytes(), p.id.0.to_le_bytes()].concat()), p)
            })
            .collect();
        takers.sort_by_key(|(same_zone, weight, _)| (*same_zone, *weight));
        takers.into_iter().map(|(.., p)| p).collect()
    }

    /// Whether this node owns what `key` names: the active member, or this node, of the greatest weight.
    pub fn owns(&self, key: u64) -> bool {
        let inner = self.inner.lock();
        let weight = |id: NodeId| base::hash::hash64(&[key.to_le_bytes(), id.0.to_le_bytes()].concat());
        let mine = (weight(inner.me.life.id), inner.me.life.id);
        let mut active = inner.members.values().map(Member::peer).filter(|p| p.condition == Condition::Active);
        active.all(|p| (weight(p.id), p.id) < mine)
    }

    /// Promise P6: why an answer may miss something to which the `silent` members gave nothing, or `None` if it is whole.
    pub fn judge(&self, silent: &[NodeId]) -> Option<String> {
        let inner = self.inner.lock();
        let still: Vec<&Member> = silent.iter().filter_map(|id| inner.members.get(id)).collect();
        let named =
            |ms: &[&Member]| ms.iter().map(|m| format!("{} ({})", m.record.life.id, m.record.address)).collect::<Vec<_>>().join(", ");
        if let Some(m) = still.iter().find(|m| m.record.alone_since_ns.is_some()) {
            let since = m.record.alone_since_ns.unwrap_or_default() / base::units::SECOND_NS;
            return Some(format!(
                "{} is silent and holds rows that no other node has, received since {since} (seconds since 1970)",
                named(&[m])
            ));
        }
        let unknown: Vec<&Member> = still.iter().filter(|m| !m.is_known()).copied().collect();
        if !unknown.is_empty() {
            return Some(format!("{} silent since before this node could watch: it may hold rows that no other node has", named(&unknown)));
        }
        if !still.is_empty() && still.len() >= self.settings.replication {
            return Some(format!("{} silent, as many as there are copies of a row ({})", named(&still), self.settings.replication));
        }
        None
    }

    /// Silent members whose rows ours must be given to the object store for, because they may be the only copies left.
    pub fn to_cover(&self) -> Vec<Life> {
        let inner = self.inner.lock();
        let now = self.clock.elapsed_ns();
        let after = self.settings.timing.cover_after;
        inner
            .members
            .values()
            .filter(|m| m.silent_for(now) >= after)
            .map(|m| m.record.life)
            .filter(|l| !inner.me.covers.contains(l))
            .collect()
    }

    /// Everything this node held when these members fell silent is in the object store.
    pub fn covered(&self, lives: &[Life]) {
        let mut inner = self.inner.lock();
        let now = self.clock.elapsed_ns();
        let after = self.settings.timing.cover_after;
        // One that has been heard meanwhile is not covered: it may have taken rows with us since.
        let still: Vec<Life> =
            lives.iter().filter(|l| inner.members.get(&l.id).is_some_and(|m| m.silent_for(now) >= after)).copied().collect();
        inner.change(|me| {
            me.covers.extend(still);
            me.covers.sort();
            me.covers.dedup();
        });
    }

    /// Forgets members of which nothing can be missing any more; returns them.
    pub fn forget_covered(&self) -> Vec<Record> {
        let gone: Vec<Record> = {
            let mut inner = self.inner.lock();
            let ids: Vec<NodeId> = inner.members.keys().copied().filter(|id| self.forgettable(&inner, *id)).collect();
            ids.into_iter().filter_map(|id| inner.forget(id)).collect()
        };
        self.save_forgotten(&gone);
        gone
    }

    /// An operator's word that a node will never come back and that what it alone may have held is given up.
    pub fn forget(&self, id: NodeId) -> Option<Record> {
        let gone = self.inner.lock().forget(id);
        self.save_forgotten(gone.as_slice());
        gone
    }

    fn save_forgotten(&self, gone: &[Record]) {
        if !gone.is_empty()
            && let Err(e) = self.save()
        {
            tracing::error!(error = %e, "it cannot be remembered that a member is forgotten; it counts again after a restart");
        }
    }

    /// A row of a silent member without the alone mark was on another node too when it was acknowledged. If every other
    /// member has given its rows to the object store since, nothing is on the silent one alone.
    fn forgettable(&self, inner: &Inner, id: NodeId) -> bool {
        let now = self.clock.elapsed_ns();
        let Some(m) = inner.members.get(&id) else { return false };
        let covers = |r: &Record| r.covers.contains(&m.record.life);
        m.silent_for(now) >= self.settings.timing.forget_after
            && m.is_known()
            && m.record.alone_since_ns.is_none()
            && covers(&inner.me)
            && inner.members.values().filter(|o| o.record.life.id != id).all(|o| o.silent_for(now) == Duration::ZERO && covers(&o.record))
    }

    /// The members, for people.
    pub fn status(&self) -> Vec<MemberStatus> {
        let inner = self.inner.lock();
        let now = self.clock.elapsed_ns();
        let me = MemberStatus::of_me(&inner.me);
        std::iter::once(me).chain(inner.members.values().map(|m| m.status(now))).collect()
    }
}

impl Inner {
    fn change(&mut self, what: impl FnOnce(&mut Record)) {
        what(&mut self.me);
        self.me.revision += 1;
    }

    /// A member that was heard is covered no more: it may take rows again.
    fn uncover(&mut self, id: NodeId) {
        if self.me.covers.iter().any(|l| l.id == id) {
            self.change(|me| me.covers.retain(|l| l.id != id));
        }
    }

    fn listen(&mut self, rumors: &[Rumor]) {
        for r in rumors {
            let id = r.life.id;
            if id == self.me.life.id {
                continue;
            }
            if r.forgotten {
                // Another node has seen all that is needed. One that is here, or has lived again since, or bears the mark, is kept.
                let fits = |m: &Member| m.is_silent() && m.record.life.boot <= r.life.boot && m.record.alone_since_ns.is_none();
                if self.members.get(&id).is_some_and(fits) {
                    self.forget(id);
                }
                continue;
            }
            if let Some(m) = self.members.get_mut(&id) {
                m.listen(r);
            } else if self.forgotten.get(&id).is_none_or(|boot| *boot < r.life.boot) && self.members.len() < limits::MEMBERS {
                self.members.insert(id, Member::rumored(r));
            }
        }
    }

    fn forget(&mut self, id: NodeId) -> Option<Record> {
        let record = self.members.get(&id)?.record.clone();
        self.bury(record.life);
        Some(record)
    }

    /// A life of which nothing can be missing: rumors of it are not believed any more.
    fn bury(&mut self, life: Life) {
        self.departures += u64::from(self.members.remove(&life.id).is_some());
        self.forgotten.insert(life.id, life.boot);
        while self.forgotten.len() > limits::MEMBERS {
            self.forgotten.pop_first();
        }
        self.uncover(life.id);
    }

    fn remembered(&self) -> Remembered {
        let members = self.members.values().map(|m| Record { covers: vec![], revision: 0, ..m.record.clone() }).collect();
        Remembered { boot: self.me.life.boot, alone_since_ns: self.me.alone_since_ns, members, forgotten: self.forgotten.clone() }
    }
}
