//! Numbers that depend on a seed alone: SplitMix64, whose state can be set to any row at once.

/// A stream of numbers.
pub struct Rng(u64);

impl Rng {
    /// The stream of one row of one run.
    pub fn of(seed: u64, row: u64) -> Self {
        Rng(mix(seed ^ 0x6A09_E667_F3BC_C909).wrapping_add(mix(row)))
    }
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
    /// A number below `n`, which is not 0. The bias for the small `n` used here is below 2^-40.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// True for this share of calls.
    pub fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / ((1u64 << 53) as f64) < share
    }
    /// One of several.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Scatters 64 bits, one to one; zero stays zero.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
