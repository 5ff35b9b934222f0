//! GPUs of the node, as the vendor's library tells.

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

/// The node's GPUs.
pub trait Gpus: Send + Sync + 'static {
    /// Which there are; empty where there are none or no library.
    fn list(&self) -> Vec<Gpu>;
    /// How they are now. May block for some milliseconds; called on a blocking thread in production.
    fn read(&self) -> Result<Vec<GpuReading>, GpuError>;
}
