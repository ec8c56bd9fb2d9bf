//! Bounds of the log, each with its reason.

/// Largest payload of one frame, in bytes: a request body of the largest size that is accepted
/// ([`base::limits::BODY_BYTES`]) and a mebibyte for the header that the caller puts before it.
pub const PAYLOAD_BYTES: usize = base::limits::BODY_BYTES + (1 << 20);

/// Zeros written ahead at a time. Measured on ext4: syncing 4 KiB into such zeros takes a third of the time of appending
/// (0.07 ms for 0.20), 64 KiB half (0.12 for 0.23). More than a mebibyte gains nothing and is waste while idle.
pub const ZERO_AHEAD_BYTES: u64 = 1 << 20;

/// Groups above this are appended without zeros ahead: the zeros would double the bytes written.
pub const ZERO_AHEAD_MAX_GROUP_BYTES: u64 = ZERO_AHEAD_BYTES / 4;

/// Default size of a segment, in bytes. Small enough that space comes back in steps that a small disk does not feel, large
/// enough that the directory's sync for a new one is rare (every 6 s at 10 MB/s).
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Smallest size of a segment that makes sense, in bytes; below it most of a sync is about directories.
pub const SEGMENT_MIN_BYTES: u64 = 4 << 10;

/// Files of damaged bytes that one start sets aside at most. A segment that is damaged everywhere must not become a
/// hundred thousand files; the stretches beyond are reported all the same.
pub const SET_ASIDE_FILES: usize = 1000;

/// Bytes of damage that one start sets aside at most. Evidence must not fill the disk.
pub const SET_ASIDE_BYTES: u64 = 256 << 20;

/// Read ahead of recovery, in bytes.
pub const READ_BYTES: usize = 256 << 10;

/// When a read fails the stretch is read again in pieces of this many bytes, so that a bad sector costs one piece.
pub const READ_PIECE_BYTES: usize = 4 << 10;

/// A sequence number found while scanning past damage in the last segment may be this much ahead of the last known one.
/// It only has to be more than a segment can hold.
pub const SEQ_PLAUSIBLE_AHEAD: u64 = 1 << 32;

/// The smallest piece that a disk fails to read, in bytes.
pub const SECTOR_BYTES: usize = 512;
