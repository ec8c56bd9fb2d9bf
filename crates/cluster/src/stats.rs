//! What replication and membership tell about themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use base::stats::{Desc, Exposition};

use crate::membership::{Condition, Membership};
use crate::read::stats as reads;
use crate::replicate::Counters;

const ACKNOWLEDGED: Desc =
    Desc::counter("watchfire_cluster_replicated_writes_total", "requests", "Requests acknowledged with all their copies fsynced (P1).");
const DEGRADED: Desc = Desc::counter(
    "watchfire_cluster_degraded_writes_total",
    "requests",
    "Requests acknowledged while fewer nodes than promised held them; the alone mark stands for them (P1, P6).",
);
const DEGRADED_BYTES: Desc = Desc::counter("watchfire_cluster_degraded_bytes_total", "bytes", "Bytes of those requests, as received.");
const REFUSED: Desc = Desc::counter(
    "watchfire_cluster_refused_writes_total",
    "requests",
    "Requests asked to come back because no node could keep them (P7).",
);
const COPIES: Desc = Desc::counter("watchfire_cluster_copies_sent_total", "requests", "Copies sent to other nodes.");
const COPIES_FAILED: Desc =
    Desc::counter("watchfire_cluster_copies_failed_total", "requests", "Copies that another node did not keep, or not in time.");
const REPLACED: Desc =
    Desc::counter("watchfire_cluster_copies_replaced_total", "requests", "Copies sent to one more node because one failed or was slow.");
const OWN_FAILED: Desc = Desc::counter(
    "watchfire_cluster_own_copies_failed_total",
    "requests",
    "Copies that this node could not keep itself (a full disk, memory at its bound).",
);
const ALONE: Desc = Desc::gauge(
    "watchfire_cluster_alone",
    "1",
    "1 while this node holds acknowledged rows that are neither on another node nor in the object store.",
);
const MEMBERS: Desc = Desc::gauge("watchfire_cluster_members", "nodes", "Other members, as this node sees them.").labels(&["condition"]);

/// Every figure of this crate.
pub const STATS: &[&Desc] = &[
    &ACKNOWLEDGED,
    &DEGRADED,
    &DEGRADED_BYTES,
    &REFUSED,
    &COPIES,
    &COPIES_FAILED,
    &REPLACED,
    &OWN_FAILED,
    &ALONE,
    &MEMBERS,
    &reads::ASKED,
    &reads::ANSWERED,
    &reads::SILENT,
    &reads::INCOMPLETE,
    &reads::RECEIVED,
    &reads::SENT,
];

pub(crate) fn write(membership: &Membership, c: &Counters, out: &mut Exposition) {
    let counters: [(&Desc, &AtomicU64); 8] = [
        (&ACKNOWLEDGED, &c.acknowledged),
        (&DEGRADED, &c.degraded),
        (&DEGRADED_BYTES, &c.degraded_bytes),
        (&REFUSED, &c.refused),
        (&COPIES, &c.copies_sent),
        (&COPIES_FAILED, &c.copies_failed),
        (&REPLACED, &c.replaced),
        (&OWN_FAILED, &c.own_failed),
    ];
    for (desc, n) in counters {
        out.value(desc, &[], n.load(Ordering::Relaxed) as f64);
    }
    out.value(&ALONE, &[], f64::from(u8::from(membership.alone_since_ns().is_some())));
    let others = membership.others();
    for (condition, name) in
        [(Condition::Active, "active"), (Condition::Joining, "joining"), (Condition::Leaving, "leaving"), (Condition::Silent, "silent")]
    {
        out.value(&MEMBERS, &[name], others.iter().filter(|p| p.condition == condition).count() as f64);
    }
}
