//! GPUs of a host: some hosts have one, most have none.

use actors::ports::{GpuError, GpuReading, Gpus};
use async_trait::async_trait;
use domain::node::Gpu;

/// A GPU's memory in MiB.
const MEMORY_MIB: u64 = 24 * 1024;

/// So many idle GPUs.
pub(super) struct SimGpus(pub(super) u32);

#[async_trait]
impl Gpus for SimGpus {
    async fn list(&self) -> Result<Vec<Gpu>, GpuError> {
        let gpu = |index| Gpu { index, name: "simulated".to_owned(), memory_mib: MEMORY_MIB };
        Ok((0..self.0).map(gpu).collect())
    }

    async fn read(&self) -> Result<Vec<GpuReading>, GpuError> {
        let idle = |index| GpuReading {
            index,
            memory_used_mib: 0,
            utilization_percent: 0,
            temperature_c: 40,
            power_mw: 30_000,
        };
        Ok((0..self.0).map(idle).collect())
    }
}
