//! GPUs of the node, as the vendor's library tells.

use async_trait::async_trait;
use domain::node::Gpu;
use serde::{Deserialize, Serialize};

/// Why GPUs cannot be read. A node without GPUs is not an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the GPU library does not answer: {0}")]
pub struct GpuError(pub String);

/// A GPU at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuReading {
    /// The device's number.
    pub index: u32,
    /// Memory in use, in MiB.
    pub memory_used_mib: u64,
    /// Share of time its cores were busy, in percent.
    pub utilization_percent: u32,
    /// Temperature in degrees Celsius.
    pub temperature_c: u32,
    /// Power draw in milliwatts.
    pub power_mw: u32,
}

/// The node's GPUs. Both calls come back within some seconds, whatever the vendor's library does.
#[async_trait]
pub trait Gpus: Send + Sync + 'static {
    /// Which there are; empty where there are none or no library.
    async fn list(&self) -> Result<Vec<Gpu>, GpuError>;
    /// How they are now.
    async fn read(&self) -> Result<Vec<GpuReading>, GpuError>;
}
