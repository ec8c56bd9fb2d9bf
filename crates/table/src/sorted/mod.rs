//! Sorted, encoded rows: parts in memory, runs and blocks on disk.
