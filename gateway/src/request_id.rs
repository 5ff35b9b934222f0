//! Ids of HTTP requests, and draws for routing: one random seed per gateway, then a counter through a mixer. Unique and
//! spread, but not secret; keys and tokens use the entropy port instead.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};

/// The header that carries a request's id, both ways.
pub(crate) const HEADER: &str = "x-request-id";
/// The longest id taken over from a client, in bytes.
const LEN_MAX: usize = 128;

/// Source of ids.
pub(crate) struct Ids {
    seed: u64,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(1) }
    }

    /// A number that looks random.
    pub(crate) fn draw(&self) -> u64 {
        mix(self
            .seed
            .wrapping_add(self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A new id: 32 hexadecimal digits.
    pub(crate) fn make(&self) -> HeaderValue {
        let mut digits = [0u8; 32];
        let pair = (u128::from(self.draw()) << 64) | u128::from(mix(self.seed ^ 0x5bd1_e995));
        for (n, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(pair >> (124 - 4 * n)) as usize & 15];
        }
        // Hexadecimal digits always make a header; the fallback only keeps this free of panics.
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("none"))
    }

    /// The client's id where it is sane, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(HEADER) {
            Some(id) if is_sane(id.as_bytes()) => id.clone(),
            _ => self.make(),
        }
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=LEN_MAX).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
}

/// SplitMix64's finalizer.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_a_sane_one_of_the_client_is_kept() {
        let ids = Ids::new(7);
        assert_ne!(ids.make(), ids.make());
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static("abc-1"));
        assert_eq!(ids.of(&headers), "abc-1");
        headers.insert(HEADER, HeaderValue::from_static("a b"));
        assert_ne!(ids.of(&headers), "a b");
    }
}
