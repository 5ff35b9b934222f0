//! GPUs of a host: as many as the scenario says, idle, until they fall off the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::ports::{GpuError, GpuReading, Gpus};
use async_trait::async_trait;
use domain::node::Gpu;

/// A GPU's memory in MiB.
const MEMORY_MIB: u64 = 24 * 1024;

/// The GPUs of one host; cloning it gives another handle on the same ones.
#[derive(Clone, Default)]
pub(crate) struct Cards {
    count: u32,
    lost: Arc<AtomicBool>,
}

impl Cards {
    /// So many.
    pub(crate) fn new(count: u32) -> Self {
        Self { count, lost: Arc::default() }
    }

    /// How many there are, on the bus or not.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Whether they are on the bus.
    pub(crate) fn are_there(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
    }

    /// They fall off the bus.
    pub(crate) fn fall_off(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// They are on the bus again.
    pub(crate) fn come_back(&self) {
        self.lost.store(false, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), GpuError> {
        if self.are_there() { Ok(()) } else { Err(GpuError("GPU is lost".to_owned())) }
    }
}

#[async_trait]
impl Gpus for Cards {
    async fn list(&self) -> Result<Vec<Gpu>, GpuError> {
        self.check()?;
        let gpu = |index| Gpu { index, name: "simulated".to_owned(), memory_mib: MEMORY_MIB };
        Ok((0..self.count).map(gpu).collect())
    }

    async fn read(&self) -> Result<Vec<GpuReading>, GpuError> {
        self.check()?;
        let idle = |index| GpuReading {
            index,
            memory_used_mib: 0,
            utilization_percent: 0,
            temperature_c: 40,
            power_mw: 30_000,
        };
        Ok((0..self.count).map(idle).collect())
    }
}
