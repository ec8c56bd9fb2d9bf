//! Nodes of one process, connected by calls. Links can be cut (the call is not made, or its answer is lost) and nodes can
//! hang; time does not pass: what would time out fails at once. Decisions that are left open come from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{Error, Kind, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use table::Cancel;

use super::{Answer, Messages, Method, Service, Transport, unreachable};

#[derive(Default)]
struct State {
    services: BTreeMap<String, Arc<dyn Service>>,
    /// Directed: calls from the first to the second do not arrive.
    cut: BTreeSet<(String, String)>,
    /// Directed: calls from the first to the second arrive, and their answers are lost.
    mute: BTreeSet<(String, String)>,
    hanging: BTreeSet<String>,
    calls: BTreeMap<Method, u64>,
}

/// The wires between nodes of one process.
#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<State>>);

impl Net {
    /// A node answers at `address` from now on, in the place of one that did before.
    pub fn join(&self, address: &str, service: Arc<dyn Service>) {
        self.0.lock().services.insert(address.to_owned(), service);
    }
    /// Nobody answers at `address` any more.
    pub fn leave(&self, address: &str) {
        self.0.lock().services.remove(address);
    }
    /// Calls from `from` to `to` do not arrive from now on (or do again).
    pub fn cut(&self, from: &str, to: &str, on: bool) {
        toggle(&mut self.0.lock().cut, (from.to_owned(), to.to_owned()), on);
    }
    /// Calls from `from` to `to` arrive and their answers are lost from now on (or are not any more).
    pub fn mute(&self, from: &str, to: &str, on: bool) {
        toggle(&mut self.0.lock().mute, (from.to_owned(), to.to_owned()), on);
    }
    /// The node at `address` takes calls and never answers them from now on (or does again).
    pub fn hang(&self, address: &str, on: bool) {
        toggle(&mut self.0.lock().hanging, address.to_owned(), on);
    }
    /// All links and nodes are well.
    pub fn heal(&self) {
        let mut s = self.0.lock();
        s.cut.clear();
        s.mute.clear();
        s.hanging.clear();
    }
    /// Calls made so far.
    pub fn calls(&self, method: Method) -> u64 {
        self.0.lock().calls.get(&method).copied().unwrap_or(0)
    }
    /// The end of the wires that the node at `address` holds.
    pub fn end(&self, address: &str) -> Arc<Local> {
        Arc::new(Local { net: self.clone(), from: address.to_owned() })
    }
}

fn toggle<T: Ord>(set: &mut BTreeSet<T>, item: T, on: bool) {
    if on {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

/// One node's end of a [`Net`].
pub struct Local {
    net: Net,
    from: String,
}

impl Local {
    /// Whom a call reaches, and whether its answer comes back.
    fn route(&self, to: &str, method: Method) -> Result<(Arc<dyn Service>, bool)> {
        let mut s = self.net.0.lock();
        *s.calls.entry(method).or_default() += 1;
        let link = (self.from.clone(), to.to_owned());
        if s.cut.contains(&link) {
            return Err(unreachable(to, "the link is cut"));
        }
        if s.hanging.contains(to) || s.hanging.contains(&self.from) {
            return Err(Error::new(Kind::Timeout, format!("node at {to} did not answer in time")));
        }
        let service = s.services.get(to).cloned().ok_or_else(|| unreachable(to, "connection refused"))?;
        Ok((service, !s.mute.contains(&link)))
    }
}

impl Transport for Local {
    fn call(&self, address: &str, method: Method, body: Bytes, _deadline: Duration, answer: Answer) {
        answer.give(self.route(address, method).and_then(|(service, heard)| {
            let result = service.call(method, body);
            if heard { result } else { Err(Error::new(Kind::Timeout, format!("the answer of the node at {address} was lost"))) }
        }));
    }

    fn stream(&self, address: &str, method: Method, body: Bytes, _deadline: Duration) -> Result<Messages> {
        let (service, heard) = self.route(address, method)?;
        if !heard {
            return Err(Error::new(Kind::Timeout, format!("the answer of the node at {address} was lost")));
        }
        let mut messages = vec![];
        let end = service.stream(method, body, &Cancel::default(), &mut |m| {
            messages.push(Ok(m));
            Ok(())
        });
        messages.extend(end.err().map(Err));
        Ok(Box::new(messages.into_iter()))
    }
}
