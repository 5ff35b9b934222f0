//! GPUs as NVIDIA's library tells. A machine without the library or without GPUs is normal: the list is empty then. The
//! library blocks, and with a driver that is ill it may block for ever: it is asked on a thread of its own, by one caller at
//! a time, and whoever waits for it gives up after a while.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actors::ports::{GpuError, GpuReading, Gpus};
use async_trait::async_trait;
use domain::node::Gpu;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use tokio::sync::Semaphore;

const BYTES_PER_MIB: u64 = 1 << 20;
/// How long listing may take. Where no other program keeps the driver awake, the library wakes each device first, which
/// takes a second or so for each.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// How long a reading may take.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// The machine's GPUs.
pub(crate) struct OsGpus {
    library: Library<Nvml>,
}

impl OsGpus {
    /// The machine's GPUs; the vendor's library is loaded when they are first asked for.
    pub(crate) fn load() -> Self {
        Self { library: Library::new(load) }
    }
}

fn load() -> Option<Nvml> {
    Nvml::init().inspect_err(|error| tracing::debug!(%error, "no GPU library")).ok()
}

#[async_trait]
impl Gpus for OsGpus {
    async fn list(&self) -> Result<Vec<Gpu>, GpuError> {
        self.library.ask(LIST_LIMIT, list).await.unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn read(&self) -> Result<Vec<GpuReading>, GpuError> {
        self.library.ask(READ_LIMIT, read).await.unwrap_or_else(|| Ok(Vec::new()))
    }
}

/// A library that blocks: one thread at most is in it, also when it never comes back.
struct Library<L> {
    loaded: Arc<OnceLock<Option<L>>>,
    load: fn() -> Option<L>,
    /// Taken by the thread that is in it, and given back only by that.
    turn: Arc<Semaphore>,
}

impl<L: Send + Sync + 'static> Library<L> {
    fn new(load: fn() -> Option<L>) -> Self {
        Self { loaded: Arc::default(), load, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Asks the library something, within a time that includes waiting for those who asked before; `None` where there is no
    /// library.
    async fn ask<T: Send + 'static>(
        &self,
        limit: Duration,
        question: fn(&L) -> Result<T, GpuError>,
    ) -> Option<Result<T, GpuError>> {
        let asking = async {
            let turn = self.turn.clone().acquire_owned().await.map_err(|e| GpuError(e.to_string()))?;
            let (loaded, load) = (self.loaded.clone(), self.load);
            let answering = tokio::task::spawn_blocking(move || {
                let answer = loaded.get_or_init(load).as_ref().map(question);
                drop(turn);
                answer
            });
            answering.await.map_err(|e| GpuError(e.to_string()))
        };
        let late = |_| Err(GpuError(format!("it takes longer than {} s", limit.as_secs_f32())));
        tokio::time::timeout(limit, asking)
            .await
            .unwrap_or_else(late)
            .unwrap_or_else(|error| Some(Err(error)))
    }
}

fn list(nvml: &Nvml) -> Result<Vec<Gpu>, GpuError> {
    let count = nvml.device_count().map_err(told)?;
    let gpus = (0..count).map(|index| describe(nvml, index));
    Ok(gpus
        .filter_map(|gpu| gpu.inspect_err(|e| tracing::warn!(error = %e, "a GPU does not answer")).ok())
        .collect())
}

fn read(nvml: &Nvml) -> Result<Vec<GpuReading>, GpuError> {
    (0..nvml.device_count().map_err(told)?).map(|index| measure(nvml, index).map_err(told)).collect()
}

fn told(error: NvmlError) -> GpuError {
    GpuError(error.to_string())
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
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A library that answers once the test lets go of the other end; and how often it was asked.
    type Slow = (Mutex<Receiver<()>>, AtomicU32);

    fn answer((hung, asked): &Slow) -> Result<u32, GpuError> {
        let _ = hung.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Ok(asked.fetch_add(1, Ordering::SeqCst) + 1)
    }

    #[tokio::test]
    async fn a_machine_without_the_library_has_no_gpus_and_no_error() {
        let gpus = OsGpus { library: Library::new(|| None) };
        assert!(gpus.list().await.unwrap().is_empty());
        assert!(gpus.read().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_listed_can_be_read() {
        let gpus = OsGpus::load();
        assert_eq!(gpus.list().await.unwrap().len(), gpus.read().await.unwrap().len());
    }

    #[tokio::test]
    async fn a_library_that_hangs_holds_up_nobody_and_takes_one_thread() {
        let (hangs, hung) = channel();
        let library: Library<Slow> = Library::new(|| None);
        assert!(library.loaded.set(Some((Mutex::new(hung), AtomicU32::new(0)))).is_ok());
        for _ in 0..20 {
            let late = library.ask(Duration::from_millis(5), answer).await.unwrap();
            assert!(late.unwrap_err().to_string().contains("takes longer"));
        }
        drop(hangs);
        // The one that hung has its answer now, and nobody else was let in.
        assert_eq!(library.ask(Duration::from_secs(20), answer).await.unwrap().unwrap(), 2);
    }
}
