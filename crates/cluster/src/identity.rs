//! Who a node is: a random name, made with its data directory and kept in it. Identity is the disk, not the address, so a wiped
//! disk is a new node, and a disk that moves to another machine is the old one.

use std::path::Path;

use base::{Error, Result};
use disk::Fs;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::transport::NodeId;

const FILE: &str = "node.json";
const VERSION: u32 = 1;

/// What `node.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    version: u32,
    /// The node's name.
    pub node: NodeId,
    /// The cluster it belongs to.
    pub cluster: String,
}

impl Identity {
    /// Reads the identity in `dir`, if there is one. An error of kind `Corrupt` when it cannot be read: a new name would hide from the
    /// others who it was that may hold their rows.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Identity>> {
        let path = dir.join(FILE);
        let bytes = match disk::read(fs, &path) {
            Ok(b) => b,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let damaged = |why: String| {
            Error::corrupt(format!(
                "{}: {why}. Bring the file back if you can; without it (remove it) this is a new node, and the cluster waits for the old \
                 one until an operator forgets it",
                path.display()
            ))
        };
        let found: Identity = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if found.version != VERSION {
            return Err(damaged(format!("version {} is not known", found.version)));
        }
        Ok(Some(found))
    }

    /// The identity in `dir`, made if there is none. An error of kind `Invalid` when the directory belongs to another cluster.
    pub fn open(fs: &dyn Fs, dir: &Path, cluster: &str) -> Result<Identity> {
        if let Some(found) = Self::read(fs, dir)? {
            return if found.cluster == cluster { Ok(found) } else { Err(found.of_another(dir, &format!("cluster {cluster:?}"))) };
        }
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| Error::internal("the system gives no random numbers"))?;
        let made = Identity { version: VERSION, node: NodeId(u64::from_le_bytes(random)), cluster: cluster.to_owned() };
        let text = serde_json::to_vec_pretty(&made).map_err(|e| Error::internal(e.to_string()))?;
        fs.create_dir_all(dir)?;
        disk::write_durably(fs, &dir.join(FILE), &text)?;
        Ok(made)
    }

    /// An error of kind `Invalid` when the directory belongs to a cluster, for a node that belongs to none: the others would count its
    /// rows as missing.
    pub fn none(fs: &dyn Fs, dir: &Path) -> Result<()> {
        Self::read(fs, dir)?.map_or(Ok(()), |found| Err(found.of_another(dir, "no cluster")))
    }

    fn of_another(&self, dir: &Path, wanted: &str) -> Error {
        let Identity { node, cluster, .. } = self;
        Error::invalid(format!(
            "{} belongs to node {node} of cluster {cluster:?}, and this node is set to be of {wanted}: start it with cluster.name {cluster:?} \
             (--cluster {cluster}), or with another data_dir",
            dir.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use base::Kind;
    use disk::SimFs;

    use super::*;

    #[test]
    fn a_name_is_made_once_and_kept_over_a_power_cut() {
        let fs = SimFs::seeded(1);
        let dir = Path::new("/data");
        let first = Identity::open(&fs, dir, "a").unwrap();
        fs.power_cut();
        assert_eq!(Identity::open(&fs, dir, "a").unwrap(), first);
        assert_ne!(Identity::open(&fs, Path::new("/other"), "a").unwrap().node, first.node);
    }

    #[test]
    fn a_directory_of_another_cluster_or_of_one_at_all_is_not_used() {
        let fs = SimFs::seeded(1);
        let dir = Path::new("/data");
        Identity::none(&fs, dir).unwrap();
        let id = Identity::open(&fs, dir, "a").unwrap();
        for e in [Identity::open(&fs, dir, "b").unwrap_err(), Identity::none(&fs, dir).unwrap_err()] {
            assert_eq!(e.kind(), Kind::Invalid);
            assert!(e.message().contains("--cluster a") && e.message().contains(&id.node.to_string()), "{e}");
        }
    }

    #[test]
    fn a_damaged_one_is_not_replaced() {
        let fs = SimFs::seeded(1);
        let dir = Path::new("/data");
        Identity::open(&fs, dir, "a").unwrap();
        for text in ["{", "{\"version\":9,\"node\":\"n0000000000000001\",\"cluster\":\"a\"}"] {
            disk::write_durably(&fs, &dir.join(FILE), text.as_bytes()).unwrap();
            assert_eq!(Identity::open(&fs, dir, "a").unwrap_err().kind(), Kind::Corrupt);
        }
    }
}
