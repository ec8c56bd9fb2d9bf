//! Skip filters: small proofs that a value is absent, so that rows need not be read.
//!
//! A split-block Bloom filter: a hash chooses one block of 32 bytes, and one bit in each of its eight words. One cache
//! line for each question, about 12 bits for each value, about one wrong "perhaps" in 300.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use base::hash::hash64;

const SALT: [u32; 8] = [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];
const BLOCK: usize = 32;
const BITS_PER_VALUE: usize = 12;

fn masks(hash: u64) -> [u32; 8] {
    SALT.map(|s| 1 << ((hash as u32).wrapping_mul(s) >> 27))
}

fn block_of(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// A filter over distinct hashes.
pub fn build(hashes: &[u64], bits_per_hash: usize) -> Vec<u8> {
    let blocks = (hashes.len() * bits_per_hash).div_ceil(BLOCK * 8).max(1);
    let mut words = vec![0u32; blocks * 8];
    for h in hashes {
        let at = block_of(*h, blocks) * 8;
        words[at..at + 8].iter_mut().zip(masks(*h)).for_each(|(w, m)| *w |= m);
    }
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// Whether the filter cannot exclude the hash. A filter of a length that is never written excludes nothing.
pub fn may_hold(filter: &[u8], hash: u64) -> bool {
    let blocks = filter.len() / BLOCK;
    if blocks == 0 || !filter.len().is_multiple_of(BLOCK) {
        return true;
    }
    let at = block_of(hash, blocks) * BLOCK;
    let words = filter[at..at + BLOCK].chunks_exact(4);
    words.zip(masks(hash)).all(|(w, m)| u32::from_le_bytes([w[0], w[1], w[2], w[3]]) & m != 0)
}

/// Collects the values of a column.
#[derive(Default)]
pub struct ValueFilter {
    hashes: Vec<u64>,
}

impl ValueFilter {
    /// Adds the values of an array of bytes or text; others add nothing and [`ValueFilter::finish`] is then empty.
    pub fn add(&mut self, a: &ArrayRef) {
        let mut add = |b: &[u8]| {
            let h = hash64(b);
            if self.hashes.last() != Some(&h) {
                self.hashes.push(h);
            }
        };
        let valid = |i: &usize| a.is_valid(*i);
        match a.data_type() {
            DataType::FixedSizeBinary(_) => (0..a.len()).filter(valid).for_each(|i| add(a.as_fixed_size_binary().value(i))),
            DataType::Utf8View => (0..a.len()).filter(valid).for_each(|i| add(a.as_string_view().value(i).as_bytes())),
            DataType::BinaryView => (0..a.len()).filter(valid).for_each(|i| add(a.as_binary_view().value(i))),
            _ => {}
        }
        // Sorted columns leave few doubles behind; others are thinned before they take too much memory.
        if self.hashes.len() > 1 << 20 {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.thin();
        if self.hashes.is_empty() { vec![] } else { build(&self.hashes, BITS_PER_VALUE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_never_excluded_and_little_else_is_let_through() {
        let hashes: Vec<u64> = (0..10_000u64).map(|i| hash64(&i.to_le_bytes())).collect();
        let f = build(&hashes, BITS_PER_VALUE);
        assert!(hashes.iter().all(|h| may_hold(&f, *h)));
        let wrong = (10_000..110_000u64).filter(|i| may_hold(&f, hash64(&i.to_le_bytes()))).count();
        assert!(wrong < 1_500, "{wrong}");
        assert!(may_hold(&[], 1) && may_hold(&[0; 31], 1));
    }
}
