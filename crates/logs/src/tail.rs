//! Lines as they arrive: the newest stretch of time is looked at again and again, and what was not there before is new.
//!
//! So it works over any rows, of a node or of a cluster, and shows lines whose time is no older than the stretch: what an
//! agent sends long after it happened is found by queries, not here.

use std::collections::HashMap;

use base::Result;
use table::{Direction, TimeRange};
use xxhash_rust::xxh3::Xxh3Default;

use crate::eval::{self, LogRequest};
use crate::limits;
use crate::logql::{self, Expr, ast::LogExpr};
use crate::query::{Context, Stream, streams};

/// A log query whose lines are followed.
pub struct Tail {
    log: LogExpr,
    /// No line before this is shown.
    start_ns: i64,
    /// What was shown of the stretch that is looked at again: hashes and times.
    shown: HashMap<u128, i64>,
    /// Where to go on when there were more lines than one look takes.
    behind_ns: Option<i64>,
    delay_ns: i64,
}

impl Tail {
    /// Follows `query` from `start_ns` on; lines are shown `delay_ns` after their time at the earliest, so that late ones can come
    /// in their order.
    pub fn new(query: &str, start_ns: i64, delay_ns: i64) -> Result<Self> {
        match logql::parse(query)? {
            Expr::Log(log) => Ok(Tail { log, start_ns, shown: HashMap::new(), behind_ns: None, delay_ns }),
            Expr::Metric(_) => Err(base::Error::invalid("only log queries can be followed")),
        }
    }

    /// The last `limit` lines before now, with which it begins.
    pub fn history(&mut self, context: Context<'_>, limit: usize) -> Result<Vec<Stream>> {
        let end = self.end(context.now_ns);
        let range = TimeRange { start: self.start_ns, end };
        let request = LogRequest { range, limit, direction: Direction::Backward, interval_ns: 0 };
        let budget = context.budget();
        let mut found = eval::select(context.source(&budget), &self.log, &request)?;
        found.lines.reverse();
        // What is older than these was not asked for.
        if found.lines.len() >= limit {
            self.start_ns = found.lines.first().map_or(context.now_ns, |l| l.time_ns);
        }
        self.new_of(found)
    }

    /// What is new by now, oldest first; and whether there is more to come at once.
    pub fn poll(&mut self, context: Context<'_>) -> Result<(Vec<Stream>, bool)> {
        let end = self.end(context.now_ns);
        let again = context.now_ns.saturating_sub(limits::TAIL_STRETCH_NS + self.delay_ns);
        let start = self.behind_ns.unwrap_or(again).max(self.start_ns);
        let request = LogRequest {
            range: TimeRange { start, end: end.max(start) },
            limit: limits::TAIL_LINES,
            direction: Direction::Forward,
            interval_ns: 0,
        };
        let budget = context.budget();
        let found = eval::select(context.source(&budget), &self.log, &request)?;
        let last = found.lines.last().map(|l| l.time_ns);
        let is_full = found.lines.len() >= limits::TAIL_LINES;
        // Lines of one and the same time that are more than a look takes are passed over, or it would stand still.
        self.behind_ns = if is_full { last.map(|t| if t == start { t + 1 } else { t }) } else { None };
        self.shown.retain(|_, time| *time >= again.min(start));
        Ok((self.new_of(found)?, is_full))
    }

    fn end(&self, now_ns: i64) -> i64 {
        if self.delay_ns > 0 { now_ns.saturating_sub(self.delay_ns) } else { now_ns.saturating_add(limits::TAIL_AHEAD_NS) }
    }

    fn new_of(&mut self, mut found: eval::Lines) -> Result<Vec<Stream>> {
        let labels = &found.labels;
        let shown = &mut self.shown;
        found.lines.retain(|l| {
            let mut hash = Xxh3Default::new();
            if let Some(set) = labels.get(l.labels as usize) {
                hash.update(set.all.as_bytes());
            }
            hash.update(&l.time_ns.to_le_bytes());
            hash.update(l.line.as_bytes());
            shown.insert(hash.digest128(), l.time_ns).is_none()
        });
        Ok(streams(found))
    }
}
