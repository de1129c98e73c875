//! Numbers that look random and are the same for the same seed.

/// A source of numbers (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    /// One that begins at a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True so many times in a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Some of several, in their order; at least one.
    pub(crate) fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        let least = self.below(from.len());
        (0..from.len()).filter(|at| *at == least || self.chance(40)).map(|at| from[at]).collect()
    }
}
