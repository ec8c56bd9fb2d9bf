//! Bounds of a drill, each with its reason.

use std::time::Duration;

/// A client of a drill tries the next node after this: longer than a node waits for the other copies (a second), and short enough to keep
/// writes under 2 s.
pub const CLIENT_TIMEOUT: Duration = Duration::from_millis(1500);
/// A reader tries the next node after this: longer than a node waits for another one's rows (a second and a half).
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// A write that is not acknowledged for so long has failed. Agents hold rows back for longer than this.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// A read that no node answers for so long has failed: a person reloads the page.
pub const READ_PATIENCE: Duration = Duration::from_secs(10);
/// How long one question of the verification may take.
pub const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);
/// Questions of the verification under way at once, of each signal.
pub const PROVERS: usize = 2;
/// A node that is not ready after this does not start.
pub const START_PATIENCE: Duration = Duration::from_secs(60);
/// A node that has not ended after this does not stop.
pub const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// Readers at work: two see a gap that is shorter than one's timeout.
pub const READERS: usize = 2;
/// One reader asks this often: the readers shall witness, not be the load.
pub const READ_EVERY: Duration = Duration::from_millis(40);
/// Half of the reads are of one of the latest batches: those are the ones that a fault endangers.
pub const LATEST: usize = 100;
/// Connections of each writer.
pub const CONNECTIONS: usize = 4;
/// From one look at the fleet to the next.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Kinds of problem that a report names, and how much of each.
pub const PROBLEMS: usize = 8;
/// Bytes of a node's own log that a report of a failure shows.
pub const LAST_WORDS: u64 = 3_000;
/// From a healed link to the first client that comes back over it: longer than from one hello to the next.
pub const RECONNECTED: Duration = Duration::from_millis(500);
