//! Protobuf wire format: a reader that lends slices, and a writer.
//!
//! Only what proto3 uses: varints, fixed widths and length-delimited fields. Groups are refused.

use std::borrow::Cow;
use std::fmt;

use base::attrs::write_varint;

/// What is wrong with protobuf bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a field.
    Truncated,
    /// A varint of more than 64 bits.
    Varint,
    /// Field number 0, or one beyond 2^29.
    Tag,
    /// A wire type that proto3 does not use.
    WireType,
    /// A field whose wire type is not the one its number has in this message.
    Mismatch,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Truncated => "a field is cut short",
            Malformed::Varint => "a number has more than 64 bits",
            Malformed::Tag => "a field number is out of range",
            Malformed::WireType => "a field has an unknown wire type",
            Malformed::Mismatch => "a field has the wrong wire type",
        })
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for base::Error {
    fn from(e: Malformed) -> Self {
        base::Error::invalid(format!("the body is not valid protobuf: {e}"))
    }
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Malformed>;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The bytes, or [`Malformed::Mismatch`].
    pub fn bytes(self) -> Result<&'a [u8]> {
        if let Value::Bytes(b) = self { Ok(b) } else { Err(Malformed::Mismatch) }
    }
    /// The varint, or [`Malformed::Mismatch`].
    pub fn varint(self) -> Result<u64> {
        if let Value::Varint(v) = self { Ok(v) } else { Err(Malformed::Mismatch) }
    }
    /// The 64-bit value, or [`Malformed::Mismatch`].
    pub fn fixed64(self) -> Result<u64> {
        if let Value::Fixed64(v) = self { Ok(v) } else { Err(Malformed::Mismatch) }
    }
    /// The 32-bit value, or [`Malformed::Mismatch`].
    pub fn fixed32(self) -> Result<u32> {
        if let Value::Fixed32(v) = self { Ok(v) } else { Err(Malformed::Mismatch) }
    }
}

/// Walks the fields of a message.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    message: &'a [u8],
    pos: usize,
}

impl<'a> Fields<'a> {
    /// Starts at the first field.
    pub fn new(message: &'a [u8]) -> Self {
        Fields { message, pos: 0 }
    }
    /// Offset in the message of the field that comes next.
    pub fn position(&self) -> usize {
        self.pos
    }
    /// The message walked.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }
    /// Steps over length-delimited fields of a number below 16, as long as they follow one another and are shorter than
    /// 128 bytes. What is not of this form is left to [`Fields::next`], errors included.
    #[inline]
    pub fn skip_short(&mut self, number: u8) {
        let tag = number << 3 | 2;
        while let Some(&[t, len]) = self.message.get(self.pos..self.pos + 2).and_then(|b| b.first_chunk()) {
            let end = self.pos + 2 + len as usize;
            if t != tag || len >= 0x80 || end > self.message.len() {
                return;
            }
            self.pos = end;
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64> {
        match self.message.get(self.pos) {
            Some(&b) if b < 0x80 => {
                self.pos += 1;
                Ok(u64::from(b))
            }
            // Two bytes: the length of nearly every line.
            Some(&b) => match self.message.get(self.pos + 1) {
                Some(&c) if c < 0x80 => {
                    self.pos += 2;
                    Ok(u64::from(b & 0x7f) | u64::from(c) << 7)
                }
                _ => self.long_varint(),
            },
            None => Err(Malformed::Truncated),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut v = 0u64;
        for i in 0..10 {
            let &b = self.message.get(self.pos + i).ok_or(Malformed::Truncated)?;
            if i == 9 && b > 1 {
                return Err(Malformed::Varint);
            }
            v |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                self.pos += i + 1;
                return Ok(v);
            }
        }
        Err(Malformed::Varint)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.pos.checked_add(n).ok_or(Malformed::Truncated)?;
        let b = self.message.get(self.pos..end).ok_or(Malformed::Truncated)?;
        self.pos = end;
        Ok(b)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated)
    }

    /// The next field: its number and value; `None` at the end.
    #[inline]
    #[allow(clippy::should_implement_trait)] // an iterator of results would have to be stopped by every caller
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>> {
        if self.pos >= self.message.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > (1 << 29) - 1 {
            return Err(Malformed::Tag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(usize::try_from(len).map_err(|_| Malformed::Truncated)?)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed::WireType),
        };
        Ok(Some((number as u32, value)))
    }
}

/// The length-delimited fields of one number, in order.
#[derive(Clone, Copy, Debug)]
pub struct Repeated<'a> {
    fields: Fields<'a>,
    number: u32,
}

/// Walks the length-delimited fields `number` of `message`. After an error it ends.
pub fn repeated(message: &[u8], number: u32) -> Repeated<'_> {
    Repeated { fields: Fields::new(message), number }
}

impl<'a> Iterator for Repeated<'a> {
    type Item = Result<&'a [u8]>;
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.fields.next() {
                Ok(Some((n, v))) if n == self.number => return Some(v.bytes()),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(e) => {
                    self.fields.pos = usize::MAX;
                    return Some(Err(e));
                }
            }
        }
    }
}

/// The message in field `number`. A message that comes in pieces is the concatenation of its pieces: that is how
/// protobuf defines merging.
pub fn embedded(message: &[u8], number: u32) -> Result<Cow<'_, [u8]>> {
    let mut all: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    for piece in repeated(message, number) {
        let piece = piece?;
        if all.is_empty() {
            all = Cow::Borrowed(piece);
        } else {
            all.to_mut().extend_from_slice(piece);
        }
    }
    Ok(all)
}

/// Fields of a message kept as the bytes they were received as, tags included: one slice while they lie side by side
/// (as nearly every sender writes them), a copy when they do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Region<'a> {
    /// A slice of the message.
    Slice(&'a [u8]),
    /// Gathered.
    Owned(Vec<u8>),
}

impl Default for Region<'_> {
    fn default() -> Self {
        Region::Slice(&[])
    }
}

impl<'a> Region<'a> {
    /// Adds the field (or fields) at `start..end` of `message`; all calls are about the same message, in its order.
    pub fn add(&mut self, message: &'a [u8], start: usize, end: usize) {
        let field = &message[start..end];
        match self {
            Region::Slice(s) if s.is_empty() => *s = field,
            Region::Slice(s) => {
                let s_start = s.as_ptr() as usize - message.as_ptr() as usize;
                if s_start + s.len() == start {
                    *s = &message[s_start..end];
                } else {
                    *self = Region::Owned([s, field].concat());
                }
            }
            Region::Owned(v) => v.extend_from_slice(field),
        }
    }
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Region::Slice(s) => s,
            Region::Owned(v) => v,
        }
    }
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

/// Where `part` lies in `whole`, if it is a slice of it.
pub fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (at.checked_add(part.len())? <= whole.len()).then_some(at)
}

/// Text from bytes that should be UTF-8; what is not becomes U+FFFD.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Writes protobuf. Fields come out in the order they are written; zero values are written too.
#[derive(Default, Debug)]
pub struct Writer {
    /// What was written.
    pub out: Vec<u8>,
}

impl Writer {
    fn tag(&mut self, number: u32, wire: u64) {
        write_varint(&mut self.out, u64::from(number) << 3 | wire);
    }
    /// A varint field.
    pub fn varint(&mut self, number: u32, v: u64) {
        self.tag(number, 0);
        write_varint(&mut self.out, v);
    }
    /// A 64-bit field.
    pub fn fixed64(&mut self, number: u32, v: u64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&v.to_le_bytes());
    }
    /// A double.
    pub fn double(&mut self, number: u32, v: f64) {
        self.fixed64(number, v.to_bits());
    }
    /// A 32-bit field.
    pub fn fixed32(&mut self, number: u32, v: u32) {
        self.tag(number, 5);
        self.out.extend_from_slice(&v.to_le_bytes());
    }
    /// Bytes, text, or an encoded message.
    pub fn bytes(&mut self, number: u32, b: &[u8]) {
        self.tag(number, 2);
        write_varint(&mut self.out, b.len() as u64);
        self.out.extend_from_slice(b);
    }
    /// A message written by `f` in place; its length is put in front afterwards.
    pub fn message<T>(&mut self, number: u32, f: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.begin(number);
        let t = f(self);
        self.end(mark);
        t
    }
    /// Begins a message; give the mark to [`Writer::end`].
    pub fn begin(&mut self, number: u32) -> usize {
        self.tag(number, 2);
        self.out.push(0);
        self.out.len()
    }
    /// Ends the message begun at `mark`.
    pub fn end(&mut self, mark: usize) {
        let len = self.out.len() - mark;
        if len < 0x80 {
            self.out[mark - 1] = len as u8;
            return;
        }
        let mut prefix = Vec::with_capacity(5);
        write_varint(&mut prefix, len as u64);
        let grow = prefix.len() - 1;
        self.out.resize(self.out.len() + grow, 0);
        self.out.copy_within(mark..mark + len, mark + grow);
        self.out[mark - 1..mark + grow].copy_from_slice(&prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_messages_get_their_length_in_front() {
        for n in [0usize, 1, 127, 128, 300, 70_000] {
            let mut w = Writer::default();
            w.varint(7, 1);
            w.message(1, |w| w.bytes(2, &vec![b'x'; n]));
            w.fixed32(3, 9);
            let mut f = Fields::new(&w.out);
            assert_eq!(f.next(), Ok(Some((7, Value::Varint(1)))));
            let (_, inner) = f.next().unwrap().unwrap();
            assert_eq!(repeated(inner.bytes().unwrap(), 2).next().unwrap().unwrap().len(), n);
            assert_eq!(f.next(), Ok(Some((3, Value::Fixed32(9)))));
            assert_eq!(f.next(), Ok(None));
        }
    }

    #[test]
    fn damage_is_named() {
        for (bytes, want) in [
            (&[0x08][..], Malformed::Truncated),
            (&[0x0a, 5, 1], Malformed::Truncated),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Malformed::Truncated),
            (&[0x00, 1], Malformed::Tag),
            (&[0x0b], Malformed::WireType),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Malformed::Varint),
        ] {
            assert_eq!(Fields::new(bytes).next(), Err(want), "{bytes:?}");
        }
        assert_eq!(Value::Varint(1).bytes(), Err(Malformed::Mismatch));
    }

    #[test]
    fn regions_are_slices_while_they_can_be() {
        let m = b"aabbcc";
        let mut r = Region::default();
        r.add(m, 0, 2);
        r.add(m, 2, 4);
        assert_eq!(r, Region::Slice(b"aabb"));
        let mut r = Region::default();
        r.add(m, 0, 2);
        r.add(m, 4, 6);
        assert_eq!(r.bytes(), b"aacc");
        assert!(matches!(r, Region::Owned(_)));
        assert_eq!(offset_in(m, &m[4..]), Some(4));
        assert_eq!(offset_in(&m[2..], &m[..1]), None);
    }

    #[test]
    fn a_message_in_pieces_is_their_concatenation() {
        let mut w = Writer::default();
        w.bytes(1, b"ab");
        w.varint(2, 3);
        w.bytes(1, b"c");
        assert_eq!(&*embedded(&w.out, 1).unwrap(), b"abc");
    }
}
