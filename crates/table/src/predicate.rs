//! Row predicates as data: evaluated inside a scan, used for pruning, and one day sent to another node.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use arrow_schema::DataType;
use base::{Error, Result};
use memchr::memmem::Finder;

use crate::scan::Cancel;
use crate::spec::{ColumnType, TableSpec};

/// A condition on the payload columns of a row. A missing value satisfies no comparison.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// All of them.
    And(Vec<Predicate>),
    /// Any of them.
    Or(Vec<Predicate>),
    /// Not.
    Not(Box<Predicate>),
    /// The column's bytes are exactly these (text, bytes, fixed).
    Equals(String, Vec<u8>),
    /// The column's bytes contain these (text, bytes).
    Contains(String, Vec<u8>),
    /// The text matches this pattern anywhere.
    Regex(String, regex::bytes::Regex),
    /// The number lies in `[from, to]`.
    Between(String, f64, f64),
}

impl Predicate {
    /// [`Predicate::Regex`] with a pattern in the syntax of the `regex` crate, compiled as all of them are.
    pub fn matching(column: impl Into<String>, pattern: &str) -> Result<Predicate> {
        let mut builder = regex::bytes::RegexBuilder::new(pattern);
        let regex = builder.size_limit(base::limits::REGEX_COMPILED_BYTES).build();
        let regex = regex.map_err(|e| Error::invalid(format!("regular expression {pattern:?} is not valid: {e}")))?;
        Ok(Predicate::Regex(column.into(), regex))
    }

    /// Names of the columns it reads.
    pub fn columns<'a>(&'a self, out: &mut Vec<&'a str>) {
        match self {
            Predicate::And(p) | Predicate::Or(p) => p.iter().for_each(|p| p.columns(out)),
            Predicate::Not(p) => p.columns(out),
            Predicate::Equals(c, _) | Predicate::Contains(c, _) | Predicate::Regex(c, _) | Predicate::Between(c, ..) => {
                if !out.contains(&c.as_str()) {
                    out.push(c);
                }
            }
        }
    }

    /// Which rows of `batch` satisfy it. It ends early when nobody waits any more: thousands of patterns over texts of megabytes
    /// take minutes.
    pub fn eval(&self, batch: &RecordBatch, cancel: &Cancel) -> Result<BooleanArray> {
        let mut keep = vec![true; batch.num_rows()];
        self.narrow(batch, &mut keep, cancel)?;
        Ok(keep.into())
    }

    /// Takes the rows out of `keep` that do not satisfy it. Rows that are out already are not looked at: the dearer
    /// conditions come last.
    fn narrow(&self, batch: &RecordBatch, keep: &mut [bool], cancel: &Cancel) -> Result<()> {
        cancel.check()?;
        let column = |name: &str| -> Result<&ArrayRef> {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("predicate reads column {name:?}, which the batch does not have")))
        };
        match self {
            Predicate::And(ps) => {
                for p in ps {
                    if !keep.contains(&true) {
                        break;
                    }
                    p.narrow(batch, keep, cancel)?;
                }
                Ok(())
            }
            Predicate::Or(ps) => {
                let mut open = keep.to_vec();
                keep.fill(false);
                for p in ps {
                    if !open.contains(&true) {
                        break;
                    }
                    let mut hit = open.clone();
                    p.narrow(batch, &mut hit, cancel)?;
                    for ((keep, open), hit) in keep.iter_mut().zip(&mut open).zip(hit) {
                        *keep |= hit;
                        *open &= !hit;
                    }
                }
                Ok(())
            }
            Predicate::Not(p) => {
                let mut hit = keep.to_vec();
                p.narrow(batch, &mut hit, cancel)?;
                keep.iter_mut().zip(hit).for_each(|(keep, hit)| *keep &= !hit);
                Ok(())
            }
            Predicate::Equals(c, want) => bytes_test(column(c)?, keep, |b| b == want.as_slice()),
            Predicate::Contains(c, needle) => {
                let finder = Finder::new(needle);
                match column(c)?.as_string_view_opt() {
                    Some(texts) if !needle.is_empty() && !keep.contains(&false) => {
                        find_in_stretches(texts, &finder, keep);
                        Ok(())
                    }
                    _ => bytes_test(column(c)?, keep, |b| finder.find(b).is_some()),
                }
            }
            Predicate::Regex(c, re) => {
                bytes_test(column(c)?, keep, |b| !cancel.is_cancelled() && re.is_match(b))?;
                cancel.check()
            }
            Predicate::Between(c, lo, hi) => number_test(column(c)?, keep, |v| v >= *lo && v <= *hi),
        }
    }
}

/// Bytes between two texts of a stretch at most: pages put a length between them.
const GAP_BYTES: usize = 64;

/// Where a long text lies: buffer, first byte, first byte after. None for one that lies in its view itself.
fn place(view: u128) -> Option<(usize, usize, usize)> {
    let (length, buffer, offset) = (view as u32 as usize, (view >> 64) as u32 as usize, (view >> 96) as u32 as usize);
    (length > 12).then_some((buffer, offset, offset + length))
}

/// Looks for a needle in all texts. Those that lie behind one another are looked through as one stretch, so that a needle
/// that is rare costs no stop at every text.
fn find_in_stretches(texts: &StringViewArray, finder: &Finder<'_>, keep: &mut [bool]) {
    let views = texts.views();
    let mut from = 0;
    while from < views.len() {
        let Some((buffer, start, mut end)) = place(views[from]) else {
            // Short, and often empty.
            let may_be = views[from] as u32 as usize >= finder.needle().len();
            keep[from] = may_be && texts.is_valid(from) && finder.find(texts.value(from).as_bytes()).is_some();
            from += 1;
            continue;
        };
        let mut until = from + 1;
        while let Some((b, s, e)) = views.get(until).copied().and_then(place)
            && b == buffer
            && s >= end
            && s - end <= GAP_BYTES
        {
            end = e;
            until += 1;
        }
        keep[from..until].fill(false);
        let bytes = &texts.data_buffers()[buffer].as_slice()[..end];
        let place = |row: usize| place(views[row]).map_or((end, end), |(_, start, end)| (start, end));
        find_in_texts(finder, bytes, start, from..until, place, |row| keep[row] = texts.is_valid(row));
        from = until;
    }
}

/// Calls `hit` with each of `rows` whose text contains the needle. `place` says where a row's text begins and ends in
/// `bytes`: they lie there behind one another from `at` on.
fn find_in_texts(
    finder: &Finder<'_>,
    bytes: &[u8],
    mut at: usize,
    rows: Range<usize>,
    place: impl Fn(usize) -> (usize, usize),
    mut hit: impl FnMut(usize),
) {
    let mut row = rows.start;
    while let Some(found) = finder.find(&bytes[at..]).map(|n| at + n) {
        let (mut low, mut beyond) = (row, rows.end);
        while beyond - low > 1 {
            let middle = low.midpoint(beyond);
            if place(middle).0 <= found { low = middle } else { beyond = middle }
        }
        row = low;
        let (_, end) = place(row);
        if found + finder.needle().len() <= end {
            hit(row);
            at = end;
        } else {
            // It reaches over the end of a text.
            at = found + 1;
        }
    }
}

/// What every text of an answer contains: at least one of some needles. Texts that do not pass need not be made part of a batch
/// at all.
pub struct Sieve {
    /// The table's column, with `series` and time counted.
    pub column: usize,
    needles: Vec<Finder<'static>>,
}

impl Sieve {
    /// The sieve of a predicate, if it has one. Only columns of a row's identity are sifted: all copies of a row agree on them, so none
    /// that is left out is a copy of one that is not.
    pub fn of(spec: &'static TableSpec, predicate: &Predicate) -> Option<Sieve> {
        match predicate {
            Predicate::Contains(column, needle) if !needle.is_empty() && spec.identity.contains(&column.as_str()) => {
                let column = spec.columns.iter().position(|c| c.name == column && c.ty == ColumnType::Text)? + 2;
                Some(Sieve { column, needles: vec![Finder::new(needle).into_owned()] })
            }
            // The longest is likely the rarest.
            Predicate::And(all) => all.iter().filter_map(|p| Sieve::of(spec, p)).max_by_key(Sieve::shortest),
            Predicate::Or(any) => {
                let mut sieves = any.iter().map(|p| Sieve::of(spec, p));
                let mut all = sieves.next()??;
                for one in sieves {
                    let one = one.filter(|s| s.column == all.column)?;
                    all.needles.extend(one.needles);
                }
                Some(all)
            }
            _ => None,
        }
    }

    fn shortest(&self) -> usize {
        self.needles.iter().map(|n| n.needle().len()).min().unwrap_or(0)
    }

    /// Marks the texts that pass. Text `i` is `bytes[places[i]..places[i + 1]]`.
    pub fn search(&self, bytes: &[u8], places: &[u32], found: &mut [bool]) {
        let (Some(&first), Some(&end)) = (places.first(), places.last()) else { return };
        let place = |row: usize| (places[row] as usize, places[row + 1] as usize);
        for finder in &self.needles {
            find_in_texts(finder, &bytes[..end as usize], first as usize, 0..places.len() - 1, place, |row| found[row] = true);
        }
    }
}

fn bytes_test(a: &ArrayRef, keep: &mut [bool], test: impl Fn(&[u8]) -> bool) -> Result<()> {
    match a.data_type() {
        DataType::Utf8View => {
            let s = a.as_string_view();
            each(a, keep, |i| test(s.value(i).as_bytes()));
        }
        DataType::BinaryView => {
            let s = a.as_binary_view();
            each(a, keep, |i| test(s.value(i)));
        }
        DataType::FixedSizeBinary(_) => {
            let s = a.as_fixed_size_binary();
            each(a, keep, |i| test(s.value(i)));
        }
        other => return Err(Error::internal(format!("a bytes predicate cannot read a column of type {other}"))),
    }
    Ok(())
}

fn number_test(a: &ArrayRef, keep: &mut [bool], test: impl Fn(f64) -> bool) -> Result<()> {
    match a.data_type() {
        DataType::UInt8 => each(a, keep, |i| test(f64::from(a.as_primitive::<UInt8Type>().value(i)))),
        DataType::UInt32 => each(a, keep, |i| test(f64::from(a.as_primitive::<UInt32Type>().value(i)))),
        DataType::Int64 => each(a, keep, |i| test(a.as_primitive::<Int64Type>().value(i) as f64)),
        DataType::Float64 => each(a, keep, |i| test(a.as_primitive::<Float64Type>().value(i))),
        other => return Err(Error::internal(format!("a number predicate cannot read a column of type {other}"))),
    }
    Ok(())
}

fn each(a: &ArrayRef, keep: &mut [bool], test: impl Fn(usize) -> bool) {
    for (i, keep) in keep.iter_mut().enumerate() {
        *keep = *keep && a.is_valid(i) && test(i);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::StringViewBuilder;
    use arrow_schema::{Field, Schema};

    use super::*;

    fn batch(texts: &StringViewArray) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("t", DataType::Utf8View, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts.clone())]).unwrap()
    }

    fn kept(p: &Predicate, texts: &StringViewArray) -> Vec<bool> {
        p.eval(&batch(texts), &Cancel::default()).unwrap().iter().map(|v| v.unwrap()).collect()
    }

    /// Two hundred patterns that take a minute and more over the text.
    #[test]
    fn it_ends_when_nobody_waits() {
        // In no order, so that a pattern has a state for each of its letters.
        let mut seed = 7u32;
        let mut letter = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 { 'a' } else { 'b' }
        };
        let text: String = (0..400_000).map(|_| letter()).collect();
        let slow = |i: usize| Predicate::matching("t", &format!("[ab]*a[ab]{{{}}}[^ab]", 900 - i)).unwrap();
        let p = Predicate::Or((0..200).map(slow).collect());
        let cancel = Cancel::default();
        let waits = cancel.clone();
        std::thread::Builder::new()
            .name("client".into())
            .spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(100));
                waits.cancel();
            })
            .unwrap();
        let began = std::time::Instant::now();
        let ended = p.eval(&batch(&StringViewArray::from_iter_values([text])), &cancel);
        assert_eq!(ended.unwrap_err().kind(), base::Kind::Canceled);
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    }

    #[test]
    fn a_needle_is_found_where_it_is_and_not_between_texts() {
        let mut seed = 3u64;
        let mut random = move |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for case in 0..300 {
            let mut builder = StringViewBuilder::new().with_fixed_block_size(64 + random(400) as u32);
            let texts: Vec<Option<String>> = (0..random(40))
                .map(|_| (random(8) > 0).then(|| (0..random(30)).map(|_| char::from(b'a' + random(3) as u8)).collect()))
                .collect();
            texts.iter().for_each(|t| builder.append_option(t.as_deref()));
            let array = builder.finish();
            let from = random(3).min(array.len() as u64) as usize;
            let array = array.slice(from, array.len() - from);
            for needle in ["", "a", "abc", "abcab", "cccccccccccccc"] {
                let want: Vec<bool> = texts[from..].iter().map(|t| t.as_deref().is_some_and(|t| t.contains(needle))).collect();
                assert_eq!(kept(&Predicate::Contains("t".into(), needle.into()), &array), want, "case {case}, {needle}");
            }
        }
        // Two texts in one buffer, the needle over the end of the first and in the second.
        let array = StringViewArray::from(vec!["xxxxxxxxxxxxxxab", "cxxxxxxxxxxxxabc"]);
        assert_eq!(kept(&Predicate::Contains("t".into(), "abc".into()), &array), [false, true]);
    }

    #[test]
    fn conditions_combine() {
        let array = StringViewArray::from(vec![Some("one"), Some("two"), None, Some("three and more than twelve")]);
        let has = |t: &str| Predicate::Contains("t".into(), t.as_bytes().to_vec());
        let is = |t: &str| Predicate::Equals("t".into(), t.as_bytes().to_vec());
        for (p, want) in [
            (Predicate::Or(vec![is("two"), has("more")]), [false, true, false, true]),
            (Predicate::And(vec![has("o"), has("e")]), [true, false, false, true]),
            (Predicate::Not(Box::new(has("o"))), [false, false, true, false]),
            (
                Predicate::And(vec![Predicate::Not(Box::new(is("one"))), Predicate::Or(vec![has("o"), has("x")])]),
                [false, true, false, true],
            ),
            (Predicate::And(vec![has("e"), Predicate::matching("t", "^th").unwrap()]), [false, false, false, true]),
            (Predicate::Or(vec![]), [false; 4]),
            (Predicate::And(vec![]), [true; 4]),
        ] {
            assert_eq!(kept(&p, &array), want, "{p:?}");
        }
    }
}
