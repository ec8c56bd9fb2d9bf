//! The hashes that are written to disk or compared between nodes. Changing one is a format change.

use xxhash_rust::xxh3;

/// 128-bit hash (XXH3) of canonical label bytes: the identity of a label set.
pub fn hash128(bytes: &[u8]) -> u128 {
    xxh3::xxh3_128(bytes)
}

/// 64-bit hash (XXH3).
pub fn hash64(bytes: &[u8]) -> u64 {
    xxh3::xxh3_64(bytes)
}

/// 128-bit hash (XXH3) with a seed, to keep name spaces apart.
pub fn hash128_seeded(bytes: &[u8], seed: u64) -> u128 {
    xxh3::xxh3_128_with_seed(bytes, seed)
}
