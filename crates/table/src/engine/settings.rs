//! Tuning of the engine, as plain data.

use std::time::Duration;

/// How long rows are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For this table, or all.
    pub table: Option<String>,
    /// For this tenant, or all.
    pub tenant: Option<String>,
    /// Nanoseconds from a row's time. A day's rows go together when the last of them is older.
    pub keep_ns: i64,
}

/// Tuning of the engine. The defaults suit one small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A table's head is frozen into a part at this size, in bytes of memory.
    pub freeze_bytes: usize,
    /// A generation is sealed when its frames take this much of the WAL: it bounds the replay after a crash.
    pub generation_wal_bytes: u64,
    /// A generation is sealed when it takes this much memory.
    pub generation_bytes: usize,
    /// A generation is sealed at this age, so that the WAL of a quiet server does not grow old.
    pub generation_age: Duration,
    /// All rows in memory, in bytes. Writers wait at this bound.
    pub memtable_limit: usize,
    /// What bodies may become together that are being unpacked and are not small, in bytes. Others wait for their turn.
    pub bodies_limit: usize,
    /// Names of series of rows in memory, in bytes. At this bound the memtable is flushed, which empties them.
    pub registry_limit: usize,
    /// What all queries together may hold.
    pub queries_limit: usize,
    /// What one query may hold.
    pub query_limit: usize,
    /// What indexes of files may take that no scan holds.
    pub index_limit: usize,
    /// Runs are merged into blocks when there are this many...
    pub merge_runs: usize,
    /// ...or when the oldest has this age.
    pub merge_age: Duration,
    /// The most specific entry decides; none keeps rows for ever.
    pub retention: Vec<Retention>,
    /// Blocks take this much at most, in bytes; the oldest days go before their time. Not where nodes share a store.
    pub max_bytes: Option<u64>,
    /// Writes are refused when less than this is free on the disk, so that flushes can still end.
    pub min_free_bytes: u64,
    /// How long a writer waits for memory before it is asked to come back.
    pub write_wait: Duration,
    /// Bytes of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Other nodes write to the store, too.
    pub shared_store: bool,
    /// How long a superseded block stays in a shared store. Longer than the longest query and the interval at which other
    /// nodes read the list of blocks.
    pub delete_delay: Duration,
    /// Bytes of the store's objects that are kept on the disk.
    pub cache_bytes: u64,
    /// Run the engine's own threads. Without them, nothing happens but what is called.
    pub background: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            freeze_bytes: 10 << 20,
            generation_wal_bytes: 48 << 20,
            generation_bytes: 32 << 20,
            generation_age: Duration::from_secs(30 * 60),
            memtable_limit: 64 << 20,
            bodies_limit: 128 << 20,
            registry_limit: 1 << 30,
            queries_limit: 1 << 30,
            query_limit: 512 << 20,
            index_limit: 128 << 20,
            merge_runs: 6,
            merge_age: Duration::from_secs(3600),
            retention: vec![],
            max_bytes: None,
            min_free_bytes: 32 << 20,
            write_wait: Duration::from_secs(10),
            wal_segment_bytes: 64 << 20,
            shared_store: false,
            delete_delay: Duration::from_secs(5 * 60),
            cache_bytes: 4 << 30,
            background: true,
        }
    }
}

impl Settings {
    /// Divides a process' memory between rows, queries and the rest: a quarter for rows, half for queries of which one
    /// may have half, an eighth for indexes of files. What sorting, merging and unpacking bodies need at a time is not there all the time: it
    /// comes out of what the others leave.
    pub fn with_memory_limit(mut self, bytes: usize) -> Self {
        // More memory for rows would only make the replay after a crash longer.
        self.memtable_limit = (bytes / 4).clamp(16 << 20, 64 << 20);
        self.generation_bytes = self.memtable_limit / 2;
        self.freeze_bytes = self.memtable_limit / 8;
        self.bodies_limit = bytes / 8;
        self.registry_limit = bytes / 4;
        self.queries_limit = bytes / 2;
        self.query_limit = bytes / 4;
        self.index_limit = bytes / 8;
        self
    }

    /// How long rows of a table and tenant are kept; none is for ever.
    pub fn keep_ns(&self, table: &str, tenant: &str) -> Option<i64> {
        let fits = |r: &&Retention| r.table.as_deref().is_none_or(|t| t == table) && r.tenant.as_deref().is_none_or(|t| t == tenant);
        self.retention.iter().filter(fits).max_by_key(|r| (r.tenant.is_some(), r.table.is_some())).map(|r| r.keep_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_retention_decides() {
        let r = |table: Option<&str>, tenant: Option<&str>, keep_ns| Retention {
            table: table.map(Into::into),
            tenant: tenant.map(Into::into),
            keep_ns,
        };
        let s = Settings {
            retention: vec![r(None, None, 1), r(Some("logs"), None, 2), r(None, Some("a"), 3), r(Some("logs"), Some("a"), 4)],
            ..Settings::default()
        };
        assert_eq!(
            [s.keep_ns("x", "x"), s.keep_ns("logs", "x"), s.keep_ns("x", "a"), s.keep_ns("logs", "a")],
            [Some(1), Some(2), Some(3), Some(4)]
        );
        assert_eq!(Settings::default().keep_ns("x", "x"), None);
    }
}
