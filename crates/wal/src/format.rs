//! The bytes of the log: `docs/formats/wal.md` in code. Integers are little-endian.

use crate::limits::PAYLOAD_BYTES;

/// Begins every segment. The line ends and the control character show a copy that went through a text conversion.
pub const MAGIC: [u8; 8] = *b"WFWAL\r\n\x1a";
/// Version of the format.
pub const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 48;
/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Begins every record, so that a scan past damage finds candidates quickly.
pub const RECORD_MAGIC: [u8; 4] = *b"WFr\xb1";
/// Bytes of a mark's payload.
const MARK_PAYLOAD_BYTES: usize = 32;
/// Bytes of a mark with its header.
pub const MARK_BYTES: usize = RECORD_HEADER_BYTES + MARK_PAYLOAD_BYTES;

const TYPE_MARK: u8 = 1;
const TYPE_FRAME: u8 = 2;

/// File name of a segment: its id in decimal, padded so that the order of names is the order of segments.
pub fn segment_name(id: u64) -> String {
    format!("{id:020}.wal")
}

/// The segment's id from a file name made by [`segment_name`].
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub id: u64,
    /// Sequence number of the first frame.
    pub first_seq: u64,
    /// Every number below is accounted for in earlier segments; those from here to `first_seq` are burned.
    pub synced_seq: u64,
}

/// What the first bytes of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRead {
    Good(SegmentHeader),
    /// Whole, but of a version that this program does not know.
    Version(u32),
    Bad,
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut b = [0; SEGMENT_HEADER_BYTES];
        b[..8].copy_from_slice(&MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        b[16..24].copy_from_slice(&self.id.to_le_bytes());
        b[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        b[32..40].copy_from_slice(&self.synced_seq.to_le_bytes());
        let crc = crc32c::crc32c(&b[..44]);
        b[44..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads the header of the segment whose file name says `id`.
    pub fn decode(b: &[u8], id: u64) -> HeaderRead {
        if b.len() < SEGMENT_HEADER_BYTES || b[..8] != MAGIC || u32_at(b, 44) != crc32c::crc32c(&b[..44]) {
            return HeaderRead::Bad;
        }
        if u32_at(b, 8) != VERSION {
            return HeaderRead::Version(u32_at(b, 8));
        }
        let h = SegmentHeader { id: u64_at(b, 16), first_seq: u64_at(b, 24), synced_seq: u64_at(b, 32) };
        if h.id == id { HeaderRead::Good(h) } else { HeaderRead::Bad }
    }
}

/// The first record of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Sequence number of the group's first frame, or the next one if the group has none (the seal of a clean stop).
    pub seq: u64,
    /// Every number below was synced, or reported missing, when this was written. Those from here to `seq` are burned.
    pub synced_seq: u64,
    /// Bytes at the beginning of this segment that were synced when this was written; 0 in the segment's first group.
    pub synced_bytes: u64,
    /// Frames of the group.
    pub frames: u64,
    /// Bytes of the group's frames, headers included.
    pub bytes: u64,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub seq: u64,
    pub len: u32,
    /// The caller's kind, of a frame.
    pub kind: u8,
    pub is_mark: bool,
    /// Checksum of header and payload.
    pub crc: u32,
}

/// The CRC that a segment's records start from.
fn salt(segment: u64) -> u32 {
    crc32c::crc32c(&segment.to_le_bytes())
}

impl RecordHeader {
    /// Encodes the header of a record with this payload.
    fn encode(segment: u64, kind_of: u8, kind: u8, seq: u64, payload: &[u8]) -> [u8; RECORD_HEADER_BYTES] {
        let mut b = [0; RECORD_HEADER_BYTES];
        b[..4].copy_from_slice(&RECORD_MAGIC);
        b[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        b[8..16].copy_from_slice(&seq.to_le_bytes());
        b[16] = kind_of;
        b[17] = kind;
        let head = crc32c::crc32c_append(salt(segment), &b[..24]);
        b[24..28].copy_from_slice(&head.to_le_bytes());
        let all = crc32c::crc32c_append(head, payload);
        b[28..].copy_from_slice(&all.to_le_bytes());
        b
    }

    /// Reads a header; `None` unless its magic and its checksum are right and its fields can be.
    pub fn decode(b: &[u8], segment: u64) -> Option<RecordHeader> {
        if b.len() < RECORD_HEADER_BYTES || b[..4] != RECORD_MAGIC {
            return None;
        }
        if u32_at(b, 24) != crc32c::crc32c_append(salt(segment), &b[..24]) {
            return None;
        }
        let (len, is_mark) = (u32_at(b, 4), b[16] == TYPE_MARK);
        let fits = if is_mark { len as usize == MARK_PAYLOAD_BYTES } else { b[16] == TYPE_FRAME && len as usize <= PAYLOAD_BYTES };
        fits.then(|| RecordHeader { seq: u64_at(b, 8), len, kind: b[17], is_mark, crc: u32_at(b, 28) })
    }

    /// Whether `payload` is what was written.
    pub fn holds(&self, header: &[u8], payload: &[u8]) -> bool {
        crc32c::crc32c_append(u32_at(header, 24), payload) == self.crc
    }
}

/// Header of a frame with this payload.
pub fn frame_header(segment: u64, kind: u8, seq: u64, payload: &[u8]) -> [u8; RECORD_HEADER_BYTES] {
    RecordHeader::encode(segment, TYPE_FRAME, kind, seq, payload)
}

impl Mark {
    pub(crate) fn encode(&self, segment: u64) -> [u8; MARK_BYTES] {
        let mut b = [0; MARK_BYTES];
        let fields = [self.synced_seq, self.synced_bytes, self.frames, self.bytes];
        for (i, v) in fields.iter().enumerate() {
            b[RECORD_HEADER_BYTES + i * 8..][..8].copy_from_slice(&v.to_le_bytes());
        }
        let header = RecordHeader::encode(segment, TYPE_MARK, 0, self.seq, &b[RECORD_HEADER_BYTES..]);
        b[..RECORD_HEADER_BYTES].copy_from_slice(&header);
        b
    }

    /// Reads the payload of a mark whose checksum was right.
    pub(crate) fn decode(seq: u64, payload: &[u8]) -> Mark {
        Mark {
            seq,
            synced_seq: u64_at(payload, 0),
            synced_bytes: u64_at(payload, 8),
            frames: u64_at(payload, 16),
            bytes: u64_at(payload, 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(parse_segment_name(&segment_name(42)), Some(42));
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for bad in ["42.wal", "0000000000000000004x.wal", "00000000000000000042.tmp", "+0000000000000000042.wal", "damaged"] {
            assert_eq!(parse_segment_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn headers_are_read_back_and_every_flip_is_seen() {
        let h = SegmentHeader { id: 7, first_seq: 9, synced_seq: 8 };
        let good = h.encode();
        assert_eq!(SegmentHeader::decode(&good, 7), HeaderRead::Good(h));
        assert_eq!(SegmentHeader::decode(&good, 8), HeaderRead::Bad);
        let mark = Mark { seq: 3, synced_seq: 2, synced_bytes: 99, frames: 4, bytes: 1000 };
        let record = mark.encode(7);
        let r = RecordHeader::decode(&record, 7).unwrap();
        assert!(r.is_mark && r.holds(&record, &record[RECORD_HEADER_BYTES..]));
        assert_eq!(Mark::decode(r.seq, &record[RECORD_HEADER_BYTES..]), mark);
        assert_eq!(RecordHeader::decode(&record, 8), None, "the salt is the segment's id");
        for bit in 0..good.len() * 8 {
            let mut b = good;
            b[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&b, 7), HeaderRead::Bad, "bit {bit}");
        }
        for bit in 0..record.len() * 8 {
            let mut b = record;
            b[bit / 8] ^= 1 << (bit % 8);
            let seen = RecordHeader::decode(&b, 7).is_none_or(|r| !r.holds(&b, &b[RECORD_HEADER_BYTES..]));
            assert!(seen, "bit {bit}");
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_no_header() {
        let mut b = frame_header(1, 0, 1, b"");
        b[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc = crc32c::crc32c_append(salt(1), &b[..24]);
        b[24..28].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(RecordHeader::decode(&b, 1), None);
    }

    #[test]
    fn a_newer_version_is_not_damage() {
        let mut b = SegmentHeader { id: 7, first_seq: 9, synced_seq: 8 }.encode();
        b[8] = 2;
        let crc = crc32c::crc32c(&b[..44]);
        b[44..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&b, 7), HeaderRead::Version(2));
    }
}
