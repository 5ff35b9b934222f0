//! Chance from the operating system, good enough for keys.

use actors::ports::Entropy;
use ring::rand::{SecureRandom, SystemRandom};

/// The system's random numbers.
#[derive(Debug, Clone)]
pub(crate) struct OsEntropy(SystemRandom);

impl Default for OsEntropy {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if self.0.fill(bytes).is_err() {
            // The system call fails only on systems without randomness at all. Keys made from anything else would be
            // worse than no node, and the port has no error to give.
            tracing::error!("the operating system gives no random numbers: stopping");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let entropy = OsEntropy::default();
        assert_ne!(entropy.draw(), entropy.draw());
    }
}
