//! What nodes tell each other about themselves and about others: the messages of a hello, in JSON, and the file in
//! which a node remembers whom it has met.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Error, Kind, Result};
use disk::Fs;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::rates::Taken;
use crate::transport::NodeId;

/// Version of the messages between nodes. Nodes of different versions refuse each other.
pub const VERSION: u32 = 1;

/// What a node is doing, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Replaying its log or reading the list of blocks: not whole yet.
    Joining,
    /// Takes rows and answers.
    Active,
    /// Takes no rows and is giving everything to the object store.
    Leaving,
    /// Holds nothing that is not in the object store, and goes; mostly to come back, with another release.
    Left,
    /// As [`State::Left`], for good: an operator said so.
    Ended,
}

/// A node between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Life {
    /// Which node.
    pub id: NodeId,
    /// How often it had been started; grows.
    pub boot: u64,
}

/// A node, by its own word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who, since when.
    #[serde(flatten)]
    pub life: Life,
    /// Where others reach it.
    pub address: String,
    /// Where it stands.
    #[serde(default)]
    pub zone: String,
    /// What it does.
    pub state: State,
    /// Since when it holds acknowledged rows that are neither on another node nor in the object store (the alone mark), nanoseconds.
    #[serde(default)]
    pub alone_since_ns: Option<i64>,
    /// Silent members of whose rows it has given its copies to the object store.
    #[serde(default)]
    pub covers: Vec<Life>,
    /// Grows with each change within a life, so that what is old is known as such.
    pub revision: u64,
}

/// What one node knows of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It may have done anything.
    #[default]
    Unknown,
    /// The teller has watched it without a pause since its own last word, and that word bore no alone mark.
    Clean,
    /// Nothing can be missing because of that life of it, and the teller has watched since: it did not come back.
    Forgotten,
    /// An operator has said that it will never come back.
    Ended,
}

/// What one node says of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rumor {
    /// Who.
    #[serde(flatten)]
    pub life: Life,
    /// Where it was reached last.
    pub address: String,
    /// What is known of it.
    #[serde(default)]
    pub word: Word,
}

/// A hello, and the answer to one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The cluster's name.
    pub cluster: String,
    /// [`VERSION`].
    pub version: u32,
    /// Who says it.
    pub from: Record,
    /// Whom else it knows.
    #[serde(default)]
    pub others: Vec<Rumor>,
    /// What it takes of tenants that have a limit.
    #[serde(default)]
    pub taken: Vec<Taken>,
}

impl Hello {
    /// As bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::internal(e.to_string()))
    }

    /// From bytes of a node that must be of this cluster and version.
    pub fn decode(bytes: &[u8], cluster: &str) -> Result<Hello> {
        if bytes.len() > limits::HELLO_BYTES {
            return Err(Error::new(Kind::TooLarge, "a hello is larger than one can be"));
        }
        let h: Hello = serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("a hello cannot be read: {e}")))?;
        if h.cluster != cluster {
            return Err(Error::new(
                Kind::Forbidden,
                format!(
                    "node {} is of cluster {:?}, this one is of {cluster:?}: give both the same cluster.name",
                    h.from.address, h.cluster
                ),
            ));
        }
        if h.version != VERSION {
            return Err(Error::new(
                Kind::Forbidden,
                format!("node {} speaks version {} between nodes, this one {VERSION}: run the same release", h.from.address, h.version),
            ));
        }
        if h.others.len() > limits::MEMBERS || h.from.covers.len() > limits::MEMBERS {
            return Err(Error::new(Kind::TooLarge, format!("a cluster has at most {} nodes", limits::MEMBERS)));
        }
        Ok(h)
    }
}

/// A node that is no member any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its last life that is known.
    pub boot: u64,
    /// Where it was.
    pub address: String,
    /// [`Word::Ended`], and not only [`Word::Forgotten`].
    #[serde(default)]
    pub ended: bool,
}

/// What a node must remember of the cluster beyond its own life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Starts so far.
    pub boot: u64,
    /// Its own alone mark.
    #[serde(default)]
    pub alone_since_ns: Option<i64>,
    /// Members it has met that have neither left nor been forgotten.
    #[serde(default)]
    pub members: Vec<Record>,
    /// Members it has forgotten, with the life that was.
    #[serde(default)]
    pub forgotten: BTreeMap<NodeId, Gone>,
}

/// Keeps [`Remembered`] in `members.json`.
pub struct Memory {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl Memory {
    /// In the data directory `dir`.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Memory { fs, path: dir.join("members.json") }
    }

    /// What was remembered. A damaged file is an error: without it nobody knows who else may hold rows.
    pub fn load(&self) -> Result<Remembered> {
        match disk::read(&*self.fs, &self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::corrupt(format!(
                    "{}: {e}; it tells which other nodes may hold rows. If all of them are running, remove it and start again",
                    self.path.display()
                ))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Remembered::default()),
            Err(e) => Err(Error::from(e).context(self.path.display())),
        }
    }

    /// Durable when it returns.
    pub fn save(&self, what: &Remembered) -> Result<()> {
        let text = serde_json::to_vec_pretty(what).map_err(|e| Error::internal(e.to_string()))?;
        disk::write_durably(&*self.fs, &self.path, &text).map_err(|e| Error::from(e).context(self.path.display()))
    }
}
