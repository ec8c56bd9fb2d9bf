//! What is asked of another node: a scan of its unmerged rows, in bytes.

use base::{MatchOp, Matcher, RegexRoom, Result, Tenant};
use table::{Direction, Predicate, ScanRequest, TableSpec, TimeRange};

use super::bytes::{Reader, damaged, put};
use crate::limits;
use crate::transport::NodeId;

/// Version of everything in this module.
pub const VERSION: u8 = 1;

/// A decoded request.
pub struct Asked {
    /// The scan.
    pub scan: ScanRequest,
    /// Who is asked. Where it answers there may be another by now, with a new disk, whose rows are no answer to this.
    pub whom: NodeId,
    /// The asker knows the blocks that this node committed up to this version.
    pub known: u64,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("whom", &self.whom)
            .field("table", &self.scan.table.name)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

/// What tells two builds apart whose tables are not the same.
fn shape(spec: &TableSpec) -> u64 {
    base::hash::hash64(format!("{spec:?}").as_bytes())
}

/// As bytes. A predicate that is too large to send is left out: whoever asks evaluates it again anyway.
pub fn encode(q: &ScanRequest, whom: NodeId, known: u64) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&whom.0.to_le_bytes());
    put(&mut out, q.table.name);
    out.extend_from_slice(&shape(q.table).to_le_bytes());
    put(&mut out, q.tenant.as_str());
    out.extend_from_slice(&q.range.start.to_le_bytes());
    out.extend_from_slice(&q.range.end.to_le_bytes());
    out.push(u8::from(q.direction == Direction::Backward));
    out.extend_from_slice(&known.to_le_bytes());
    out.extend_from_slice(&(q.matchers.len() as u32).to_le_bytes());
    for m in &q.matchers {
        put(&mut out, &m.name);
        out.push(match m.op {
            MatchOp::Eq => 0,
            MatchOp::Ne => 1,
            MatchOp::Re => 2,
            MatchOp::NotRe => 3,
        });
        put(&mut out, &m.value);
        // Mostly a pattern is compiled as it was written: then it travels once.
        put(&mut out, m.pattern().filter(|p| *p != m.value).unwrap_or(""));
    }
    let without = out.len();
    out.push(u8::from(q.predicate.is_some()));
    let fits = q.predicate.as_ref().is_none_or(|p| encode_predicate(p, 0, &mut out));
    if !fits || out.len() > limits::READ_REQUEST_BYTES / 2 {
        out.truncate(without);
        out.push(0);
    }
    out
}

/// False if it is nested too deeply.
fn encode_predicate(p: &Predicate, depth: usize, out: &mut Vec<u8>) -> bool {
    if depth >= limits::PREDICATE_DEPTH {
        return false;
    }
    let mut several = |tag: u8, all: &[Predicate]| {
        out.push(tag);
        out.extend_from_slice(&(all.len() as u32).to_le_bytes());
        all.iter().all(|p| encode_predicate(p, depth + 1, out))
    };
    match p {
        Predicate::And(all) => return several(1, all),
        Predicate::Or(all) => return several(2, all),
        Predicate::Not(p) => {
            out.push(3);
            return encode_predicate(p, depth + 1, out);
        }
        Predicate::Equals(column, value) => {
            out.push(4);
            put(out, column);
            put(out, value);
        }
        Predicate::Contains(column, value) => {
            out.push(5);
            put(out, column);
            put(out, value);
        }
        Predicate::Regex(column, regex) => {
            out.push(6);
            put(out, column);
            put(out, regex.as_str());
        }
        Predicate::Between(column, from, to) => {
            out.push(7);
            put(out, column);
            out.extend_from_slice(&from.to_le_bytes());
            out.extend_from_slice(&to.to_le_bytes());
        }
    }
    true
}

/// From bytes.
pub fn decode(bytes: &[u8], tables: &[&'static TableSpec]) -> Result<Asked> {
    if bytes.len() > limits::READ_REQUEST_BYTES {
        return Err(damaged("a request is too large to be one"));
    }
    let mut r = Reader(bytes);
    if r.u8()? != VERSION {
        return Err(damaged("a request of another version"));
    }
    let whom = NodeId(r.u64()?);
    let (name, form) = (r.text()?, r.u64()?);
    let spec = *tables.iter().find(|t| t.name == name).ok_or_else(|| damaged("a table that is not known here"))?;
    if form != shape(spec) {
        return Err(damaged("a table that has another form here: run the same release"));
    }
    let tenant = Tenant::new(r.text()?)?;
    let range = TimeRange { start: r.i64()?, end: r.i64()? };
    let direction = match r.u8()? {
        0 => Direction::Forward,
        1 => Direction::Backward,
        _ => return Err(damaged("neither forward nor backward")),
    };
    let known = r.u64()?;
    let mut room = RegexRoom::default();
    let matchers = (0..r.count(13)?).map(|_| decode_matcher(&mut r, &mut room)).collect::<Result<Vec<_>>>()?;
    let mut scan = ScanRequest::new(spec, tenant, matchers, range);
    scan.direction = direction;
    if r.u8()? != 0 {
        scan.predicate = Some(decode_predicate(&mut r, spec, 0)?);
    }
    r.end()?;
    Ok(Asked { scan, whom, known })
}

fn decode_matcher(r: &mut Reader<'_>, room: &mut RegexRoom) -> Result<Matcher> {
    let name = r.text()?;
    let op = match r.u8()? {
        0 => MatchOp::Eq,
        1 => MatchOp::Ne,
        2 => MatchOp::Re,
        3 => MatchOp::NotRe,
        _ => return Err(damaged("an unknown operator")),
    };
    let value = r.text()?;
    let pattern = r.text()?;
    Matcher::with_pattern(name, op, value, if pattern.is_empty() { value } else { pattern }, room)
}

fn decode_predicate(r: &mut Reader<'_>, spec: &TableSpec, depth: usize) -> Result<Predicate> {
    if depth >= limits::PREDICATE_DEPTH {
        return Err(damaged("a condition is nested too deeply"));
    }
    let tag = r.u8()?;
    if matches!(tag, 1 | 2) {
        let all = (0..r.count(5)?).map(|_| decode_predicate(r, spec, depth + 1)).collect::<Result<Vec<_>>>()?;
        return Ok(if tag == 1 { Predicate::And(all) } else { Predicate::Or(all) });
    }
    if tag == 3 {
        return Ok(Predicate::Not(Box::new(decode_predicate(r, spec, depth + 1)?)));
    }
    let column = r.text()?;
    if spec.column(column).is_none() {
        return Err(damaged("a condition on a column that is not there"));
    }
    let column = column.to_owned();
    Ok(match tag {
        4 => Predicate::Equals(column, r.bytes()?.to_vec()),
        5 => Predicate::Contains(column, r.bytes()?.to_vec()),
        6 => Predicate::matching(column, r.text()?)?,
        7 => Predicate::Between(column, r.f64()?, r.f64()?),
        _ => return Err(damaged("an unknown condition")),
    })
}
