//! The export format of the journal (systemd's `JOURNAL_EXPORT_FORMATS`): fields one after the other, `NAME=text` in a line, or
//! `NAME`, a line break, the length as eight bytes with the lowest first, the value, and a line break; an empty line ends an
//! entry.

use std::collections::BTreeMap;

use crate::limits;

/// The fields of an entry that are wanted. Of a name that is there twice, the last.
pub type Entry = BTreeMap<String, Vec<u8>>;

/// Reads entries out of bytes as they come.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    entry: Entry,
    bytes: usize,
    /// Bytes of a value that is too long, which are passed over.
    skip: usize,
    /// Bytes that were cut off since somebody asked.
    cut: u64,
}

/// The bytes are no export: the reader must be started over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl Reader {
    /// Takes what came, and gives the entries that are whole.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Entry>, Damaged> {
        self.buffer.extend_from_slice(bytes);
        let mut entries = vec![];
        let mut at = 0;
        while let Some(used) = self.step(at, &mut entries)? {
            at += used;
        }
        self.buffer.drain(..at);
        Ok(entries)
    }

    /// One field, or the end of an entry: the bytes used; none if it is not whole.
    fn step(&mut self, at: usize, entries: &mut Vec<Entry>) -> Result<Option<usize>, Damaged> {
        let rest = &self.buffer[at..];
        if self.skip > 0 {
            let used = self.skip.min(rest.len());
            self.skip -= used;
            return Ok((used > 0).then_some(used));
        }
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() > limits::JOURNAL_ENTRY_BYTES { Err(Damaged) } else { Ok(None) };
        };
        let line = &rest[..end];
        if line.is_empty() {
            self.bytes = 0;
            let entry = std::mem::take(&mut self.entry);
            if !entry.is_empty() {
                entries.push(entry);
            }
            return Ok(Some(1));
        }
        if let Some(equals) = memchr::memchr(b'=', line) {
            let (name, value) = (name(&line[..equals])?, line[equals + 1..].to_vec());
            self.keep(name, value);
            return Ok(Some(end + 1));
        }
        self.counted(at, end)
    }

    /// A field whose value is counted; its name ends at `end`.
    fn counted(&mut self, at: usize, end: usize) -> Result<Option<usize>, Damaged> {
        let rest = &self.buffer[at..];
        let name = name(&rest[..end])?;
        let Some((length, value)) = rest[end + 1..].split_first_chunk::<8>() else { return Ok(None) };
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| Damaged)?;
        let keep = length.min(limits::JOURNAL_ENTRY_BYTES);
        if value.len() < keep {
            return Ok(None);
        }
        let head = end + 1 + 8;
        let value = value[..keep].to_vec();
        self.keep(name, value);
        // What is too long, and the line break.
        self.skip = (length - keep).saturating_add(1);
        self.cut += (length - keep) as u64;
        Ok(Some(head + keep))
    }

    /// Bytes that were cut off since it was asked last.
    pub fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }

    /// Keeps a field as far as there is room for it; the cursor and the times, which are short, always.
    fn keep(&mut self, name: String, mut value: Vec<u8>) {
        if !name.starts_with("__") {
            let room = limits::JOURNAL_ENTRY_BYTES.saturating_sub(self.bytes);
            self.cut += value.len().saturating_sub(room) as u64;
            value.truncate(room);
        }
        self.bytes += value.len();
        self.entry.insert(name, value);
    }
}

fn name(bytes: &[u8]) -> Result<String, Damaged> {
    let is_name = (1..=limits::JOURNAL_NAME_BYTES).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if is_name { Ok(String::from_utf8_lossy(bytes).into_owned()) } else { Err(Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(entries: &[Entry], is_counted: bool) -> Vec<u8> {
        let mut out = vec![];
        for e in entries {
            for (name, value) in e {
                if is_counted || value.contains(&b'\n') {
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'\n');
                    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
                } else {
                    out.extend_from_slice(format!("{name}=").as_bytes());
                }
                out.extend_from_slice(value);
                out.push(b'\n');
            }
            out.push(b'\n');
        }
        out
    }

    proptest! {
        #[test]
        fn entries_are_the_same_however_the_bytes_arrive(
            entries in proptest::collection::vec(
                proptest::collection::btree_map("[A-Z_]{1,9}", proptest::collection::vec(any::<u8>(), 0..20), 1..4), 0..5),
            is_counted: bool, piece in 1usize..30
        ) {
            let sent = written(&entries, is_counted);
            let mut r = Reader::default();
            let got: Vec<Entry> = sent.chunks(piece).flat_map(|c| r.push(c).unwrap()).collect();
            prop_assert_eq!(got, entries);
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Reader::default().push(&bytes));
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_cut_and_what_follows_is_not() {
        let long = vec![b'x'; limits::JOURNAL_ENTRY_BYTES + 5];
        let entry: Entry = [("MESSAGE".to_owned(), long), ("__CURSOR".to_owned(), b"c".to_vec())].into();
        let next: Entry = [("MESSAGE".to_owned(), b"next".to_vec())].into();
        let mut r = Reader::default();
        let sent = [written(&[entry], true), written(std::slice::from_ref(&next), false)].concat();
        let got: Vec<Entry> = sent.chunks(10_000).flat_map(|c| r.push(c).unwrap()).collect();
        assert_eq!((got[0].get("__CURSOR").map(Vec::as_slice), &got[1]), (Some(&b"c"[..]), &next));
        assert_eq!((got[0]["MESSAGE"].len(), r.take_cut(), r.take_cut()), (limits::JOURNAL_ENTRY_BYTES, 5, 0));
    }

    #[test]
    fn what_is_no_export_is_said_to_be_none() {
        for bytes in [&b"-- No entries --\n"[..], b"=x\n", b"A B=c\n"] {
            assert_eq!(Reader::default().push(bytes), Err(Damaged));
        }
    }
}
