//! GPUs as NVIDIA's library tells. A machine without the library or without GPUs is normal: the list is empty then.

use actors::ports::{GpuError, GpuReading, Gpus};
use domain::node::Gpu;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;

const BYTES_PER_MIB: u64 = 1 << 20;

/// The machine's GPUs.
#[derive(Debug)]
pub(crate) struct OsGpus {
    nvml: Option<Nvml>,
}

impl OsGpus {
    /// Loads the vendor's library, if it is there.
    pub(crate) fn load() -> Self {
        let nvml = Nvml::init().inspect_err(|error| tracing::debug!(%error, "no GPU library")).ok();
        Self { nvml }
    }
}

impl Gpus for OsGpus {
    fn list(&self) -> Vec<Gpu> {
        let Some(nvml) = &self.nvml else { return Vec::new() };
        let count = nvml.device_count().unwrap_or(0);
        let gpus = (0..count).map(|index| describe(nvml, index));
        gpus.filter_map(|gpu| gpu.inspect_err(|error| tracing::warn!(%error, "a GPU does not answer")).ok())
            .collect()
    }

    fn read(&self) -> Result<Vec<GpuReading>, GpuError> {
        let Some(nvml) = &self.nvml else { return Ok(Vec::new()) };
        let read =
            || (0..nvml.device_count()?).map(|index| measure(nvml, index)).collect::<Result<_, NvmlError>>();
        read().map_err(|error| GpuError(error.to_string()))
    }
}

fn describe(nvml: &Nvml, index: u32) -> Result<Gpu, NvmlError> {
    let device = nvml.device_by_index(index)?;
    Ok(Gpu { index, name: device.name()?, memory_mib: device.memory_info()?.total / BYTES_PER_MIB })
}

fn measure(nvml: &Nvml, index: u32) -> Result<GpuReading, NvmlError> {
    let device = nvml.device_by_index(index)?;
    Ok(GpuReading {
        index,
        memory_used_mib: device.memory_info()?.used / BYTES_PER_MIB,
        // Not every device measures these; memory is what placement needs.
        utilization_percent: device.utilization_rates().map_or(0, |rates| rates.gpu),
        temperature_c: device.temperature(TemperatureSensor::Gpu).unwrap_or(0),
        power_mw: device.power_usage().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_library_has_no_gpus_and_no_error() {
        let gpus = OsGpus { nvml: None };
        assert!(gpus.list().is_empty());
        assert!(gpus.read().unwrap().is_empty());
    }

    #[test]
    fn what_is_listed_can_be_read() {
        let gpus = OsGpus::load();
        assert_eq!(gpus.list().len(), gpus.read().unwrap().len());
    }
}
