//! Chance that depends on nothing but its seed: the same numbers on every machine and in every release of every library.

/// A number from a seed and the names of what it is for: removing one use leaves all others as they were.
pub fn of(seed: u64, names: &[u64]) -> u64 {
    names.iter().fold(mixed(seed), |state, name| mixed(state ^ name.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// A stream of numbers, for making plans.
pub struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    /// A stream of its own for each topic of a plan.
    pub fn new(seed: u64, topic: u64) -> Self {
        Self { seed: of(seed, &[topic]), drawn: 0 }
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.drawn += 1;
        of(self.seed, &[self.drawn])
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// An index below `length`.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        // What a seed means would change with them.
        assert_eq!(of(1, &[2, 3]), of(1, &[2, 3]));
        assert_ne!(of(1, &[2, 3]), of(1, &[3, 2]));
        assert_eq!(Chance::new(7, 1).next(), of(of(7, &[1]), &[1]));
    }
}
