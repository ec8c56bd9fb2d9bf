//! What reading over nodes tells about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::stats::{Desc, Exposition};

pub(crate) const ASKED: Desc = Desc::counter("watchfire_cluster_scans_sent_total", "scans", "Scans that other nodes were asked for (P2).");
pub(crate) const ANSWERED: Desc =
    Desc::counter("watchfire_cluster_scans_answered_total", "scans", "Scans of unmerged rows begun for other nodes.");
pub(crate) const SILENT: Desc = Desc::counter(
    "watchfire_cluster_scans_silent_total",
    "scans",
    "Scans to which another node gave nothing, or not all: its rows came from their copies (P6).",
);
pub(crate) const INCOMPLETE: Desc =
    Desc::counter("watchfire_cluster_incomplete_answers_total", "scans", "Scans whose answer may lack something, and says so (P6).");
pub(crate) const RECEIVED: Desc =
    Desc::counter("watchfire_cluster_scan_received_bytes_total", "bytes", "Rows received from other nodes, as they travel.");
pub(crate) const SENT: Desc =
    Desc::counter("watchfire_cluster_scan_sent_bytes_total", "bytes", "Rows sent to other nodes, as they travel.");

/// The counters.
#[derive(Default)]
pub struct Counters {
    pub asked: AtomicU64,
    pub answered: AtomicU64,
    pub silent: AtomicU64,
    pub incomplete: AtomicU64,
    pub received: Arc<AtomicU64>,
    pub sent: AtomicU64,
}

impl Counters {
    /// Writes them.
    pub fn write(&self, out: &mut Exposition) {
        let counters: [(&Desc, &AtomicU64); 6] = [
            (&ASKED, &self.asked),
            (&ANSWERED, &self.answered),
            (&SILENT, &self.silent),
            (&INCOMPLETE, &self.incomplete),
            (&RECEIVED, &self.received),
            (&SENT, &self.sent),
        ];
        for (desc, n) in counters {
            out.value(desc, &[], n.load(Ordering::Relaxed) as f64);
        }
    }
}
