//! Walks a `PushRequest`.
//!
//! `PushRequest { 1: Stream* }`, `Stream { 1: labels string, 2: Entry*, 3: hash }`, `Entry { 1: Timestamp { 1: seconds,
//! 2: nanos }, 2: line, 3: LabelPair { 1: name, 2: value }*, 4: parsed, not for writers }`.

use base::attrs::read_varint;

use crate::proto::{Fields, Repeated, Result, Value, repeated};

/// Bytes of the varints that cannot be out of range.
const SHORT_VARINT: usize = 9;

/// The streams of a request. After an error it ends.
pub struct Streams<'a>(Repeated<'a>);

impl<'a> Streams<'a> {
    /// Walks an uncompressed body.
    pub fn new(body: &'a [u8]) -> Self {
        Streams(repeated(body, 1))
    }
}

impl<'a> Iterator for Streams<'a> {
    type Item = Result<Stream<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(Stream::new))
    }
}

/// One stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The label string as sent, `{a="b"}`; see [`super::labels::parse`].
    pub labels: &'a [u8],
    message: &'a [u8],
}

impl<'a> Stream<'a> {
    fn new(message: &'a [u8]) -> Result<Self> {
        // The whole stream is passed over once, entry by entry, because labels may come last (and the last ones count).
        let mut labels: &[u8] = &[];
        let mut fields = Fields::new(message);
        while let Some((n, v)) = fields.next()? {
            match n {
                1 => labels = v.bytes()?,
                2 => _ = v.bytes()?,
                _ => {}
            }
        }
        Ok(Stream { labels, message })
    }
    /// Its entries. After an error it ends.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>>> + use<'a> {
        repeated(self.message, 2).map(|e| e.and_then(Entry::new))
    }
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When, nanoseconds since 1970; times that do not fit are at the end of time.
    pub time_ns: i64,
    /// The line as sent; should be UTF-8.
    pub line: &'a [u8],
    /// Whether there is structured metadata.
    pub has_metadata: bool,
    message: &'a [u8],
}

impl<'a> Entry<'a> {
    fn new(message: &'a [u8]) -> Result<Self> {
        if let Some(entry) = Self::usual(message) {
            return Ok(entry);
        }
        let (mut seconds, mut nanos) = (0i64, 0i32);
        let mut entry = Entry { time_ns: 0, line: &[], has_metadata: false, message };
        let mut fields = Fields::new(message);
        while let Some((n, v)) = fields.next()? {
            match n {
                1 => {
                    let mut t = Fields::new(v.bytes()?);
                    while let Some((n, v)) = t.next()? {
                        match n {
                            1 => seconds = v.varint()? as i64,
                            2 => nanos = v.varint()? as i32,
                            _ => {}
                        }
                    }
                }
                2 => entry.line = v.bytes()?,
                3 => {
                    v.bytes()?;
                    entry.has_metadata = true;
                }
                _ => {}
            }
        }
        entry.time_ns = seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanos));
        Ok(entry)
    }
    /// An entry as nearly every sender writes it: a time of seconds and nanoseconds, then a line, and nothing else. `None`
    /// for any other, which may still be a valid one.
    fn usual(message: &'a [u8]) -> Option<Self> {
        let (&[0x0a, time_len @ 0..0x80], rest) = message.split_first_chunk()? else { return None };
        let (time, rest) = rest.split_at_checked(time_len as usize)?;
        let (&0x08, time) = time.split_first()? else { return None };
        let (seconds, time) = read_varint(time).filter(|(_, rest)| time.len() - rest.len() <= SHORT_VARINT)?;
        let nanos = match time.split_first() {
            None => 0,
            Some((&0x10, nanos)) => read_varint(nanos).filter(|(_, rest)| rest.is_empty() && nanos.len() <= SHORT_VARINT)?.0 as i32,
            _ => return None,
        };
        let (&0x12, rest) = rest.split_first()? else { return None };
        let (len, line) = read_varint(rest).filter(|(_, line)| rest.len() - line.len() <= SHORT_VARINT)?;
        if len != line.len() as u64 {
            return None;
        }
        let time_ns = (seconds as i64).saturating_mul(1_000_000_000).saturating_add(i64::from(nanos));
        Some(Entry { time_ns, line, has_metadata: false, message })
    }
    /// Structured metadata: name and value, in the order sent.
    pub fn metadata(&self) -> Pairs<'a> {
        Pairs(repeated(self.message, if self.has_metadata { 3 } else { u32::MAX }))
    }
}

/// Name and value pairs (`LabelPair`, and `Label` of remote write).
pub struct Pairs<'a>(pub(crate) Repeated<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(pair))
    }
}

/// Reads a message `{ 1: name, 2: value }`.
fn pair(message: &[u8]) -> Result<(&[u8], &[u8])> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut f = Fields::new(message);
    while let Some((n, v)) = f.next()? {
        match (n, v) {
            (1, Value::Bytes(b)) => name = b,
            (2, Value::Bytes(b)) => value = b,
            (1 | 2, _) => return Err(crate::proto::Malformed::Mismatch),
            _ => {}
        }
    }
    Ok((name, value))
}
