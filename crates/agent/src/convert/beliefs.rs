//! What settings of Alloy do not do, though they are often taken to do it. From its code and its issues, as they were in
//! 2026; each text says what happens instead.

use super::About::Belief;
use super::open::Open;

/// About a `loki.write` and its `wal` block, if it has one.
pub(super) fn loki_write(write: &Open<'_>, label: &str, wal: Option<&Open<'_>>) {
    match wal.filter(|w| w.is_true("enabled")) {
        Some(wal) => {
            let age = wal.text("max_segment_age");
            if wal.has("max_segment_age") {
                wal.note(
                    Belief,
                    "max_segment_age",
                    format!(
                        "max_segment_age = \"{0}\" does not keep lines for {0} or resend them: every segment but the newest is deleted at that age, whether it was sent or not. A restart during an outage loses the backlog {0} later. The spool here keeps what is not acknowledged, within its bounds of bytes and age",
                        age.unwrap_or_default()
                    ),
                );
            }
            wal.note(
                Belief,
                "enabled",
                "a WAL that is enabled does not mean that nothing is lost: a batch that used up max_backoff_retries (10, about 8.5 minutes) is dropped and counted as delivered, and the place to go on from is kept per segment, so a crash can skip what came after (alloy#7112). The spool here has one acknowledged place per endpoint and record",
            );
            wal.note(
                Belief,
                "enabled",
                format!(
                    "the WAL lies in <storage.path>/loki.write.{label}/wal, in the container image below /var/lib/alloy/data: a volume at /var/lib/alloy/wal protects nothing. Here it is one directory, and the agent says so loudly when that is not persistent"
                ),
            );
        }
        None => write.note(
            Belief,
            "",
            format!(
                "{}: without a WAL what is not sent is in memory only; after about 8.5 minutes of outage each shard drops a batch, and a restart drops all of it. The spool here is on by default",
                write.title
            ),
        ),
    }
}

/// About retries of an endpoint.
pub(super) fn retries(endpoint: &Open<'_>) {
    if let Some(n) = endpoint.text("max_backoff_retries") {
        let text = format!(
            "max_backoff_retries = {n}: after that the batch is dropped, not kept. Here what can be accepted later is retried for ever"
        );
        endpoint.note(Belief, "max_backoff_retries", text);
    }
}

/// About containers' logs.
pub(super) fn docker(source: &Open<'_>) {
    source.note(
        Belief,
        "",
        format!(
            "{}: its positions are whole seconds, are saved when lines are forwarded rather than acknowledged, and are deleted when a container stops: lines are read twice or not at all (alloy#7036). Here a position is exact, and kept as long as the container's log",
            source.title
        ),
    );
}

/// About files.
pub(super) fn files(source: &Open<'_>) {
    source.note(
        Belief,
        "",
        format!(
            "{}: its positions are saved every 10 s and run ahead of what was acknowledged: a crash reads lines twice, an outage can lose them. Here they are stored together with the lines",
            source.title
        ),
    );
}

/// About metrics.
pub(super) fn remote_write(write: &Open<'_>) {
    write.note(
        Belief,
        "",
        format!(
            "{}: its WAL is not read again after a restart: it goes on from now, and what was not sent is gone (prometheus#8809). While the agent is down nothing is scraped at all",
            write.title
        ),
    );
    for wal in write.blocks("wal") {
        if let Some(age) = wal.text("max_keepalive_time") {
            wal.note(
                Belief,
                "max_keepalive_time",
                format!(
                    "max_keepalive_time = \"{age}\" is not the outage that is survived: at every truncation (2h) the oldest two thirds of the segments go, sent or not"
                ),
            );
        }
        wal.ignore(&["truncate_frequency", "min_keepalive_time"]);
        wal.close();
    }
}

/// About receivers without a disk.
pub(super) fn receiver(source: &Open<'_>) {
    source.note(
        Belief,
        "",
        format!("{}: there is no buffer on disk behind it: what was received and not sent is lost with the process. Here it is acknowledged when it is durable", source.title),
    );
}

/// About OTLP exporters.
pub(super) fn otlp(exporter: &Open<'_>) {
    exporter.note(
        Belief,
        "",
        format!(
            "{}: its queue is in memory (1000 batches) and a batch is dropped after 5 minutes of retries, unless a storage is set. Here the spool holds it",
            exporter.title
        ),
    );
}
