//! Choosing by weight with a seed instead of chance: every name runs a race whose odds are its weight, and the order in which
//! they arrive is the order they are tried in. Another weight, or a name more or less, moves only what it wins or loses: all
//! others keep their places to each other. With a draw as seed it is a weighted shuffle, with a user's name it sticks.

/// The offset that FNV-1a begins with, and its prime, for 64 bits.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// A hash of some texts that never changes, not with versions either. Nobody who is not trusted may choose by it what is
/// dear: it can be steered.
pub fn hash(parts: &[&[u8]]) -> u64 {
    let (offset, prime) = FNV;
    let bytes = |state: u64, bytes: &[u8]| {
        bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(prime))
    };
    let all = parts.iter().fold(offset, |state, part| {
        // With their lengths, so that it matters where one ends.
        bytes(bytes(state, &(part.len() as u64).to_le_bytes()), part)
    });
    mix(all)
}

/// Spreads what differs in a few bits over all of them (the last steps of splitmix64).
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// When a name arrives in the race of a seed: the first wins. It is `-log2(u) / weight` for a `u` that is even between 0 and
/// 1, which makes the winner's odds its part of all weights. Without weight it arrives after all that have one.
pub(super) fn arrival(seed: u64, name: &str, weight: u32) -> u128 {
    let h = hash(&[&seed.to_le_bytes(), name.as_bytes()]);
    match weight {
        0 => u128::MAX,
        weight => (u128::from(minus_log2(h)) << 64) / u128::from(weight),
    }
}

/// Bits after the point of a logarithm.
const FRACTION: u32 = 32;

/// `-log2((h + 1) / 2^64)` as a fixed-point number: in whole numbers, so that it is the same on every machine.
fn minus_log2(h: u64) -> u64 {
    let Some(x) = h.checked_add(1) else { return 0 };
    let whole = 63 - x.leading_zeros();
    let mut m = x << x.leading_zeros();
    let mut fraction = 0u64;
    for _ in 0..FRACTION {
        // The square of a number in [1, 2) is in [1, 4): from 2 on, the logarithm's next bit is set.
        let square = (u128::from(m) * u128::from(m)) >> 63;
        let bit = (square >> 64) as u64;
        fraction = (fraction << 1) | bit;
        m = (square >> bit) as u64;
    }
    (64 << FRACTION) - ((u64::from(whole) << FRACTION) | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn winner<'a>(seed: u64, names: &[(&'a str, u32)]) -> &'a str {
        names.iter().min_by_key(|(name, weight)| arrival(seed, name, *weight)).unwrap().0
    }

    #[test]
    fn a_hash_is_what_it_was_in_every_version() {
        assert_eq!(hash(&[]), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash(&[b"user", b"chat-best"]), 0x96ef_18fa_23c6_6681);
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }

    #[test]
    fn a_logarithm_is_right() {
        for (h, expected) in
            [(0u64, 64.0), ((1 << 63) - 1, 1.0), (u64::MAX, 0.0), (u64::MAX / 10, std::f64::consts::LOG2_10)]
        {
            let found = minus_log2(h) as f64 / f64::from(2f32).powi(32);
            assert!((found - expected).abs() < 1e-5, "{h}: {found}");
        }
    }

    #[test]
    fn shares_fit_the_weights() {
        let names = [("a", 70), ("b", 20), ("c", 10), ("d", 0)];
        let mut won = [0u32; 4];
        for seed in 0..20_000 {
            let winner = winner(seed, &names);
            won[names.iter().position(|(name, _)| *name == winner).unwrap()] += 1;
        }
        for (won, (name, weight)) in won.iter().zip(names) {
            let expected = weight * 200;
            assert!(won.abs_diff(expected) <= 300, "{name}: {won} instead of {expected}");
        }
    }

    proptest! {
        #[test]
        fn another_weight_moves_only_what_it_wins_or_loses(
            weights in proptest::collection::vec(1u32..100, 2..6), which: prop::sample::Index, new in 0u32..200,
            seed: u64,
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let before: Vec<_> = names.into_iter().zip(weights).collect();
            let changed = which.index(before.len());
            let mut after = before.clone();
            after[changed].1 = new;
            let (old, now) = (winner(seed, &before), winner(seed, &after));
            if old != now {
                let name = before[changed].0;
                prop_assert_eq!(if new > before[changed].1 { now } else { old }, name);
            }
        }
    }
}
