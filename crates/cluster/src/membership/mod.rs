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

use base::{Clock, Error, Kind, Result};
use bytes::Bytes;
use disk::Fs;
use parking_lot::{Mutex, MutexGuard};

pub use record::{Hello, Life, Record, Rumor, State, VERSION, Word};
pub use view::{Condition, MemberStatus, Peer};

use crate::limits;
use crate::rates::Rates;
use crate::settings::Settings;
use crate::transport::{Answers, Method, NodeId, Transport};
use record::{Gone, Memory, Remembered};
use view::Member;

struct Inner {
    me: Record,
    members: BTreeMap<NodeId, Member>,
    forgotten: BTreeMap<NodeId, Gone>,
    /// How many times a member fell silent or left, or was heard of while it was silent, so far: what it committed before may not be
    /// known here.
    departures: u64,
    /// Grows when others must hear of this node anew before it keeps a row: it was away, or bears the mark since.
    news: u64,
    /// Everyone who could hear this node has heard it since `news` was this.
    introduced: Option<u64>,
    /// A round was ended since `news` was this; when the last that was ended began, by the time that passes.
    greeted: Option<u64>,
    /// See `greeted`.
    greeted_ns: Option<i64>,
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
    rates: Rates,
    /// One introduction at a time.
    introducing: Mutex<()>,
    /// One look around for all who want one.
    looking: Mutex<()>,
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
        let mut inner = Inner {
            me,
            members,
            forgotten: remembered.forgotten,
            news: 0,
            introduced: None,
            greeted: None,
            greeted_ns: None,
            // What others committed while this node was not there is looked up once.
            departures: 1,
            last_round_ns: None,
            refused: None,
            seeds: settings.seeds.clone(),
        };
        inner.unknow();
        let (saving, introducing, looking) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (inner, rates) = (Mutex::new(inner), Rates::new(clock.clone()));
        Ok(Arc::new(Membership { settings, clock, transport, memory, inner, saving, rates, introducing, looking }))
    }

    /// What this node knows now: if it was away, nothing of what others did meanwhile. Every look begins here, since a node that was frozen
    /// may answer a question before its next round.
    fn look(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock();
        let limit = self.settings.timing.pause_limit.as_nanos() as i64;
        if inner.last_round_ns.is_some_and(|last| self.clock.elapsed_ns() - last > limit) {
            inner.unknow();
        }
        inner
    }

    /// From the next round on, looks for nodes at these addresses: names may have got others.
    pub fn set_seeds(&self, seeds: Vec<String>) {
        self.look().seeds = seeds;
    }

    /// What the nodes take of each tenant.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.look().me.life.id
    }

    /// What this cluster was set to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What this node does now.
    pub fn state(&self) -> State {
        self.look().me.state
    }

    /// Says to everyone from the next hello on what this node does.
    pub fn set_state(&self, state: State) {
        self.look().change(|me| me.state = state);
    }

    /// Since when this node bears the alone mark, nanoseconds since 1970.
    pub fn alone_since_ns(&self) -> Option<i64> {
        self.look().me.alone_since_ns
    }

    /// Says hello to everyone if this node has news that they must know before it keeps a row: it has just started, it was away,
    /// or it bears the alone mark since. When it returns, everyone who answers has heard it, and a member that does
    /// not answer in time is silent. An error says that this node hung meanwhile.
    ///
    /// Without it a node that was covered or forgotten, and wakes, could share a row with one that has not heard of it either.
    pub fn introduce(&self) -> Result<()> {
        let up_to_date = |inner: &Inner| inner.introduced == Some(inner.news);
        if up_to_date(&self.look()) {
            return Ok(());
        }
        let _one = self.introducing.lock();
        let news = {
            let mut inner = self.look();
            if up_to_date(&inner) {
                return Ok(());
            }
            inner.last_round_ns = Some(self.clock.elapsed_ns());
            inner.news
        };
        // Whoever takes longer to hear of it was away for so long that it knows that.
        let told = self.say_hello(&self.addresses(true), self.settings.timing.patience);
        let mut inner = self.look();
        let now = self.clock.elapsed_ns();
        let untold = inner.members.values_mut().filter(|m| !told.contains(&m.record.life.id));
        let fell_silent: usize = untold.map(|m| usize::from(m.suspect(now))).sum();
        inner.departures += fell_silent as u64;
        inner.introduced = Some(news);
        if inner.news == news { Ok(()) } else { Err(Error::unavailable("this node hung while it said hello to the others")) }
    }

    /// Sets the alone mark. When it returns, the mark is durable and everyone who answers knows of it ([`Membership::introduce`]). To
    /// be called before a row is acknowledged that fewer than `replication` nodes hold. True if the mark is new.
    pub fn mark_alone(&self) -> Result<bool> {
        let now_ns = self.clock.now_ns();
        let new = {
            let mut inner = self.look();
            let new = inner.me.alone_since_ns.is_none();
            if new {
                inner.change(|me| me.alone_since_ns = Some(now_ns));
                inner.news += 1;
            }
            new
        };
        if new && let Err(e) = self.save() {
            // A mark that a restart would lose is none: the next row tries again.
            self.look().change(|me| me.alone_since_ns = None);
            return Err(e);
        }
        self.introduce().map(|()| new)
    }

    /// Takes the mark away: all rows that bore it are in the object store. Durable when it returns; others learn of it with the next hello.
    pub fn clear_alone(&self) -> Result<()> {
        if self.alone_since_ns().is_none() {
            return Ok(());
        }
        self.look().change(|me| me.alone_since_ns = None);
        self.save()
    }

    /// One round of hellos, to members and to seeds that are no members yet. Returns when each is answered or too late.
    pub fn round(&self) {
        let (began_ns, news) = {
            let mut inner = self.look();
            let now = self.clock.elapsed_ns();
            inner.last_round_ns = Some(now);
            (now, inner.news)
        };
        self.say_hello(&self.addresses(true), self.settings.timing.hello_deadline);
        {
            let mut inner = self.look();
            (inner.greeted, inner.greeted_ns) = (Some(news), Some(began_ns));
        }
        // A member that is said to answer where this node does has lost its disk.
        self.miss(&self.settings.address, None);
    }

    /// Where members answer, and, with `seeds`, whoever answers where one might.
    fn addresses(&self, seeds: bool) -> Vec<String> {
        let inner = self.look();
        let mut to: Vec<String> = inner.members.values().map(|m| m.record.address.clone()).collect();
        if seeds {
            to.extend(inner.seeds.iter().cloned());
        }
        to.sort();
        to.dedup();
        to.retain(|a| *a != inner.me.address);
        to
    }

    /// Says hello to all of them at once; returns who answered in time.
    fn say_hello(&self, to: &[String], deadline: Duration) -> Vec<NodeId> {
        let body: Bytes = match self.hello().encode() {
            Ok(b) => b.into(),
            Err(e) => {
                tracing::error!(error = %e, "a hello cannot be written");
                return vec![];
            }
        };
        let answers = Answers::default();
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
        let inner = self.look();
        let mut others: Vec<Rumor> = inner.members.values().map(Member::rumor).collect();
        others.extend(inner.forgotten.iter().map(|(&id, g)| Rumor {
            life: Life { id, boot: g.boot },
            address: g.address.clone(),
            word: if g.ended { Word::Ended } else { Word::Forgotten },
        }));
        others.truncate(limits::MEMBERS);
        Hello { cluster: self.settings.name.clone(), version: VERSION, from: inner.me.clone(), others, taken: self.rates.report() }
    }

    /// Takes in what a node says of itself and of others. `reached` when it answered a call of ours. False if it is a message from
    /// the past, or from ourselves.
    fn hear(&self, h: &Hello, reached: bool) -> bool {
        let remember = {
            let mut inner = self.look();
            let id = h.from.life.id;
            if id == inner.me.life.id {
                return false;
            }
            let before = inner.remembered();
            if matches!(h.from.state, State::Left | State::Ended) {
                inner.bury(&h.from, h.from.state == State::Ended);
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
        self.rates.heard(h.from.life.id, &h.taken);
        if remember && let Err(e) = self.save() {
            // The member is known as long as this process lives; the next change tries again.
            tracing::error!(error = %e, "members cannot be remembered");
        }
        true
    }

    /// The members that should answer at `address` did not, but for one.
    fn miss(&self, address: &str, but: Option<NodeId>) {
        let now = self.clock.elapsed_ns();
        let mut inner = self.look();
        let missed = inner.members.values_mut().filter(|m| m.record.address == address && Some(m.record.life.id) != but);
        let fell_silent: usize = missed.map(|m| usize::from(m.miss(now, &self.settings.timing))).sum();
        inner.departures += fell_silent as u64;
    }

    /// A refusal is told once, not with every round.
    fn note_refusal(&self, e: &base::Error) {
        let mut inner = self.look();
        if inner.refused.as_deref() != Some(e.message()) {
            tracing::error!(error = %e, "a node was refused");
            inner.refused = Some(e.message().to_owned());
        }
    }

    /// The last refusal by or of a node of another cluster or version.
    pub fn refusal(&self) -> Option<String> {
        self.look().refused.clone()
    }

    /// Writes down what must outlive the process, if it has changed.
    fn save(&self) -> Result<()> {
        let _one = self.saving.lock();
        let what = self.look().remembered();
        self.memory.save(&what)
    }

    /// A call to this member failed: it is silent until its next hello.
    pub fn suspect(&self, id: NodeId) {
        let now = self.clock.elapsed_ns();
        let mut inner = self.look();
        let fell_silent = inner.members.get_mut(&id).is_some_and(|m| m.suspect(now));
        inner.departures += u64::from(fell_silent);
    }

    /// How many times a member fell silent or left, as seen here. Whoever looks at blocks must have read their list since the last
    /// time: nobody is left to name what that member committed.
    pub fn departures(&self) -> u64 {
        let mut inner = self.look();
        let spoke: usize = inner.members.values_mut().map(|m| usize::from(m.is_silent() && std::mem::take(&mut m.unlisted))).sum();
        inner.departures += spoke as u64;
        inner.departures
    }

    /// Before a question, if this node was away, or a member that is silent has spoken or matters: says hello to everyone, once for all who ask
    /// meanwhile. Who has just woken, or is just back, is found that way before an answer is called incomplete.
    pub fn look_around(&self) {
        let doubtful = {
            let inner = self.look();
            let silent: Vec<NodeId> = inner.members.values().filter(|m| m.is_silent()).map(|m| m.record.life.id).collect();
            let spoke = inner.members.values().any(|m| m.is_silent() && m.unlisted);
            inner.greeted != Some(inner.news) || spoke || self.judge_of(&inner, &silent).is_some()
        };
        if doubtful {
            self.look_again();
        }
    }

    /// Says hello to everyone, once for all who ask meanwhile.
    pub fn look_again(&self) {
        let asked_ns = self.clock.elapsed_ns();
        let _one = self.looking.lock();
        if self.look().greeted_ns.is_none_or(|t| t <= asked_ns) {
            self.round();
        }
    }

    /// This member could not keep a copy in time or at all: it is passed over for a while, longer each time.
    pub fn avoid(&self, id: NodeId) {
        let (now, base) = (self.clock.elapsed_ns(), self.settings.timing.avoid);
        if let Some(m) = self.look().members.get_mut(&id) {
            m.avoid(now, base);
        }
    }

    /// This member kept a copy.
    pub fn praise(&self, id: NodeId) {
        if let Some(m) = self.look().members.get_mut(&id) {
            m.avoided = 0;
            m.avoid_until_ns = None;
        }
    }

    /// All other members, with their conditions.
    pub fn others(&self) -> Vec<Peer> {
        let inner = self.look();
        inner.members.values().map(Member::peer).collect()
    }

    /// Members that do not answer now.
    pub fn silent(&self) -> Vec<NodeId> {
        self.look().members.values().filter(|m| m.is_silent()).map(|m| m.record.life.id).collect()
    }

    /// Members that could take a copy now, best first: `key` decides among equals, another zone comes before one's own.
    pub fn takers(&self, key: u64) -> Vec<Peer> {
        let inner = self.look();
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

    /// Whether there are as many members that take rows as a row needs beside this node.
    pub fn can_replicate(&self) -> bool {
        let takers = self.others().iter().filter(|p| p.condition == Condition::Active).count();
        takers + 1 >= self.settings.replication
    }

    /// Whether this node owns what `key` names: the active member, or this node, of the greatest weight.
    pub fn owns(&self, key: u64) -> bool {
        let inner = self.look();
        let weight = |id: NodeId| base::hash::hash64(&[key.to_le_bytes(), id.0.to_le_bytes()].concat());
        let mine = (weight(inner.me.life.id), inner.me.life.id);
        let mut active = inner.members.values().map(Member::peer).filter(|p| p.condition == Condition::Active);
        active.all(|p| (weight(p.id), p.id) < mine)
    }

    /// Promise P6: why an answer may miss something to which the `silent` members gave nothing, or `None` if it is whole.
    pub fn judge(&self, silent: &[NodeId]) -> Option<String> {
        self.judge_of(&self.look(), silent)
    }

    fn judge_of(&self, inner: &Inner, silent: &[NodeId]) -> Option<String> {
        let still: Vec<&Member> = silent.iter().filter_map(|id| inner.members.get(id)).filter(|m| !m.is_empty()).collect();
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
            return Some(format!(
                "{} silent since before this node could watch: it may hold rows that no other node has. If it is gone for good, say so with \
                 `watchfire cluster forget`",
                named(&unknown)
            ));
        }
        if !still.is_empty() && still.len() >= self.settings.replication {
            return Some(format!("{} silent, as many as there are copies of a row ({})", named(&still), self.settings.replication));
        }
        None
    }

    /// Silent members whose rows ours must be given to the object store for, because they may be the only copies left.
    pub fn to_cover(&self) -> Vec<Life> {
        let inner = self.look();
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
        let mut inner = self.look();
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
            let mut inner = self.look();
            let ids: Vec<NodeId> = inner.members.keys().copied().filter(|id| self.forgettable(&inner, *id)).collect();
            ids.into_iter().filter_map(|id| inner.forget(id, false)).collect()
        };
        self.save_forgotten(&gone);
        gone
    }

    /// An operator's word that a node will never come back and that what it alone may have held is given up.
    pub fn forget(&self, id: NodeId) -> Option<Record> {
        let gone = self.look().forget(id, true);
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
        let inner = self.look();
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

    /// This node was away: what others did meanwhile it cannot know. Whoever had gone may have come back, and have taken rows, until
    /// somebody who has watched says that it did not.
    fn unknow(&mut self) {
        self.members.values_mut().for_each(Member::unknow);
        let (ended, gone) = std::mem::take(&mut self.forgotten).into_iter().partition(|(_, g)| g.ended);
        self.forgotten = ended;
        for (id, g) in gone {
            self.members.entry(id).or_insert_with(|| Member::returned(Life { id, boot: g.boot }, &g.address));
        }
        self.news += 1;
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
            if matches!(r.word, Word::Forgotten | Word::Ended) {
                self.believe_gone(r);
                continue;
            }
            if let Some(m) = self.members.get_mut(&id) {
                let vouched = m.listen(r);
                self.departures += u64::from(vouched);
            } else if self.forgotten.get(&id).is_none_or(|g| g.boot < r.life.boot) && self.members.len() < limits::MEMBERS {
                self.members.insert(id, Member::rumored(r));
            }
        }
    }

    /// Another node has seen all that is needed, or has an operator's word.
    fn believe_gone(&mut self, r: &Rumor) {
        let (id, ended) = (r.life.id, r.word == Word::Ended);
        match self.members.get(&id) {
            // One that is here, or has lived again since, or bears the mark, is kept.
            Some(m) if !m.is_silent() || m.record.life.boot > r.life.boot || m.record.alone_since_ns.is_some() => {}
            Some(_) => drop(self.forget(id, ended)),
            // So that this node can say it, too, to those who start later.
            None => {
                let new = Gone { boot: r.life.boot, address: r.address.clone(), ended };
                // It may have committed blocks that this node never heard of.
                self.departures += u64::from(!self.forgotten.contains_key(&id));
                let g = self.forgotten.entry(id).or_insert_with(|| new.clone());
                if new.boot >= g.boot {
                    *g = Gone { ended: new.ended || g.ended, ..new };
                }
                self.bound_forgotten();
            }
        }
    }

    fn forget(&mut self, id: NodeId, ended: bool) -> Option<Record> {
        let record = self.members.get(&id)?.record.clone();
        self.bury(&record, ended);
        Some(record)
    }

    /// A life of which nothing can be missing: rumors of it are not believed any more.
    fn bury(&mut self, record: &Record, ended: bool) {
        let life = record.life;
        self.departures += u64::from(self.members.remove(&life.id).is_some());
        // Whose place another node has taken does not come back to it.
        let ended = ended || self.members.values().map(|m| &m.record).chain([&self.me]).any(|o| o.address == record.address);
        self.forgotten.insert(life.id, Gone { boot: life.boot, address: record.address.clone(), ended });
        self.bound_forgotten();
        self.uncover(life.id);
    }

    fn bound_forgotten(&mut self) {
        while self.forgotten.len() > limits::MEMBERS {
            self.forgotten.pop_first();
        }
    }

    fn remembered(&self) -> Remembered {
        let members = self.members.values().map(|m| Record { covers: vec![], revision: 0, ..m.record.clone() }).collect();
        Remembered { boot: self.me.life.boot, alone_since_ns: self.me.alone_since_ns, members, forgotten: self.forgotten.clone() }
    }
}
