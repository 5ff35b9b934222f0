//! Chance that follows from a number: SplitMix64. Everything the simulated world leaves to chance is drawn from one of
//! these, each derived from the seed and a name, so that a draw more in one place changes nothing in another.

/// A sequence of draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of this number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for a purpose.
    pub fn of(seed: u64, purpose: &str) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for byte in purpose.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let mut dice = Self(hash);
        dice.draw();
        dice
    }

    /// The next draw.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.draw().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }

    /// A number in `from..to`; `from` where that is empty.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.draw().checked_rem(to.saturating_sub(from)).unwrap_or(0)
    }

    /// True in so many of a thousand cases.
    pub fn permille(&mut self, chance: u64) -> bool {
        self.draw() % 1000 < chance
    }

    /// One of them; `None` of none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.between(0, from.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_has_draws_of_its_own_that_repeat() {
        let draws = |purpose| {
            let mut dice = Dice::of(7, purpose);
            [dice.draw(), dice.draw()]
        };
        assert_eq!(draws("disk"), draws("disk"));
        assert_ne!(draws("disk"), draws("net"));
        assert_eq!(Dice::new(1).between(5, 5), 5);
        assert_eq!(Dice::new(1).pick::<u8>(&[]), None);
    }
}
