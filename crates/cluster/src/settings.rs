//! Settings of a cluster's node, as plain data.

use std::time::Duration;

use base::{Error, Result};

/// What to do with a row that fewer nodes than `replication` can take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Degraded {
    /// Keep it on those that are there, and bear the alone mark until it is in the object store.
    #[default]
    Accept,
    /// Ask the sender to come again.
    Refuse,
}

/// A node's place in a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's name: nodes of another name are refused.
    pub name: String,
    /// Where other nodes reach this one (host and port).
    pub address: String,
    /// Where it stands; copies go to another zone first. Empty for none.
    pub zone: String,
    /// Nodes that hold a row before it is acknowledged.
    pub replication: usize,
    /// See [`Degraded`].
    pub degraded: Degraded,
    /// Addresses to say hello to, whoever answers there.
    pub seeds: Vec<String>,
    /// Times.
    pub timing: Timing,
}

/// Times of a cluster's node. They form a chain; [`Timing::check`] tells its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From one round of hellos to the next.
    pub hello_every: Duration,
    /// How long a hello may take.
    pub hello_deadline: Duration,
    /// A member whose hellos fail for so long is silent.
    pub silent_after: Duration,
    /// A node whose own rounds lie further apart than this was away, and knows nothing any more of silent members.
    pub pause_limit: Duration,
    /// A copy that takes longer than this is sent to one more member.
    pub hedge: Duration,
    /// Nobody's copy is waited for any longer than this.
    pub patience: Duration,
    /// A member whose copy came too late is passed over for this long, doubling up to eight times it.
    pub avoid: Duration,
    /// How long another node may take for the next message of a scan.
    pub scan_deadline: Duration,
    /// While rows are held alone, everything goes to the object store this often.
    pub upload_every: Duration,
    /// A member silent for so long is covered: what it may have shared with us goes to the object store.
    pub cover_after: Duration,
    /// A covered member silent for so long may be forgotten.
    pub forget_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Timing {
            hello_every: ms(200),
            hello_deadline: ms(400),
            silent_after: ms(1000),
            pause_limit: ms(900),
            hedge: ms(300),
            patience: ms(1000),
            avoid: ms(1000),
            scan_deadline: ms(1500),
            upload_every: ms(3000),
            cover_after: ms(3000),
            forget_after: ms(8000),
        }
    }
}

impl Timing {
    /// The relations that the promises rest on.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::invalid(format!("cluster timing: {what}")));
        if self.hello_every + self.hello_deadline > self.silent_after {
            return wrong("a member must have the chance of a second hello before it is silent");
        }
        if self.hello_every + self.hello_deadline >= self.pause_limit {
            return wrong("a round with a silent member must not look like a pause");
        }
        if self.pause_limit >= self.patience {
            return wrong("a node that hung must know it before others may have taken rows without it");
        }
        if self.hedge >= self.patience {
            return wrong("hedge must be shorter than patience, or it never happens");
        }
        if self.cover_after < self.silent_after || self.forget_after < self.cover_after + self.silent_after {
            return wrong("a member is silent first, then covered, then forgotten");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_chain_holds_and_a_broken_link_is_found() {
        Timing::default().check().unwrap();
        let s = Duration::from_secs;
        for broken in [
            Timing { silent_after: s(0), ..Timing::default() },
            Timing { pause_limit: s(2), ..Timing::default() },
            Timing { pause_limit: Duration::from_millis(500), ..Timing::default() },
            Timing { hedge: s(1), ..Timing::default() },
            Timing { forget_after: s(1), ..Timing::default() },
        ] {
            assert!(broken.check().is_err(), "{broken:?}");
        }
    }
}
