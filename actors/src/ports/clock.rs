//! Wall clock and chance. Durations and deadlines use `tokio::time`, which the simulator controls.

use domain::Millis;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch; may jump.
    fn now(&self) -> Millis;
}

/// Where random numbers come from: the operating system, or the simulator's seed.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with randomness good enough for keys.
    fn fill(&self, bytes: &mut [u8]);

    /// A draw.
    fn draw(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
