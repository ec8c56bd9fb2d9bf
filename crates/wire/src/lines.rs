//! Lines of one stream, as a source on this host hands them to the store: what a file source needs and no more.
//!
//! Form (version 1): byte `1`; length (varint) and bytes of the canonical label set ([`base::Labels`]); then for each
//! line the difference of its time to the line before (zigzag varint, nanoseconds; the first: to 1970), its length
//! (varint), and its bytes.

use base::attrs::write_varint;
use base::{Error, Labels, Result};

const VERSION: u8 = 1;

/// Writes a body.
pub struct LinesWriter {
    out: Vec<u8>,
    last_ns: i64,
}

impl LinesWriter {
    /// Lines with these labels.
    pub fn new(labels: &Labels) -> Self {
        let mut out = vec![VERSION];
        write_varint(&mut out, labels.as_bytes().len() as u64);
        out.extend_from_slice(labels.as_bytes());
        LinesWriter { out, last_ns: 0 }
    }
    /// Adds a line without its line break.
    pub fn push(&mut self, time_ns: i64, line: &[u8]) {
        let delta = time_ns.wrapping_sub(self.last_ns);
        write_varint(&mut self.out, (delta << 1 ^ delta >> 63) as u64);
        write_varint(&mut self.out, line.len() as u64);
        self.out.extend_from_slice(line);
        self.last_ns = time_ns;
    }
    /// Bytes written so far.
    pub fn size(&self) -> usize {
        self.out.len()
    }
    /// The body.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Walks a body: its lines' time (nanoseconds since 1970) and bytes. After an error it ends.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    /// Canonical label bytes; not checked.
    pub labels: &'a [u8],
    rest: &'a [u8],
    time_ns: i64,
}

impl<'a> Lines<'a> {
    /// Reads the head.
    pub fn new(body: &'a [u8]) -> Result<Self> {
        let (version, rest) = body.split_first().ok_or_else(malformed)?;
        if *version != VERSION {
            return Err(Error::invalid(format!("lines of version {version} are not known")));
        }
        let (labels, rest) = counted(rest).ok_or_else(malformed)?;
        Ok(Lines { labels, rest, time_ns: 0 })
    }

    fn step(&mut self) -> Option<(i64, &'a [u8])> {
        let (zigzag, rest) = base::attrs::read_varint(self.rest)?;
        let (line, rest) = counted(rest)?;
        self.rest = rest;
        self.time_ns = self.time_ns.wrapping_add((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        Some((self.time_ns, line))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<(i64, &'a [u8])>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_none() {
            self.rest = &[];
        }
        Some(step.ok_or_else(malformed))
    }
}

fn counted(b: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = base::attrs::read_varint(b)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

fn malformed() -> Error {
    Error::invalid("the body is not a valid list of lines: it is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(lines in proptest::collection::vec((any::<i64>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20), cut in 0usize..500) {
            let labels = Labels::from_pairs([("job", "nginx"), ("file", "/var/log/x")]).unwrap();
            let mut w = LinesWriter::new(&labels);
            lines.iter().for_each(|(t, l)| w.push(*t, l));
            let body = w.finish();
            let got = Lines::new(&body).unwrap();
            prop_assert_eq!(got.labels, labels.as_bytes());
            let got: Vec<_> = got.map(|l| l.map(|(t, l)| (t, l.to_vec()))).collect::<Result<_>>().unwrap();
            prop_assert_eq!(got, lines);
            if let Ok(l) = Lines::new(&body[..cut.min(body.len())]) {
                prop_assert!(l.count() <= 20);
            }
        }
        #[test]
        fn garbage_is_answered(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(l) = Lines::new(&body) {
                prop_assert!(l.count() <= body.len());
            }
        }
    }
}
