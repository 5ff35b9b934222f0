//! The trace: every line that a simulated node, the world or a client logs, with simulated time and the host it is of.
//! Folded into one number, kept in part for a failure's report, and written whole to a file on request. Two runs of a
//! seed must give the same lines.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Lines kept for a report.
const LAST_MAX: usize = 200;
/// The span under which turmoil runs each host.
const HOST_SPAN: &str = "node";

/// A run's trace. Cloning it gives another handle on the same one.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    hash: u64,
    count: u64,
    last: VecDeque<String>,
    file: Option<BufWriter<File>>,
    /// The time where no host runs.
    now: Duration,
    detailed: bool,
}

impl Trace {
    /// A trace that is only folded.
    pub fn folded() -> Self {
        Self::with(None)
    }

    /// A trace that is written to a file as well, with more detail.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Ok(Self::with(Some(BufWriter::new(File::create(path)?))))
    }

    fn with(file: Option<BufWriter<File>>) -> Self {
        let detailed = file.is_some();
        let (last, now) = (VecDeque::new(), Duration::ZERO);
        Self(Arc::new(Mutex::new(Lines { hash: 0xcbf2_9ce4_8422_2325, count: 0, last, file, now, detailed })))
    }

    /// Runs `work` with everything it logs going here.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        let level = if self.lock().detailed { Level::DEBUG } else { Level::INFO };
        let ours = ["actors", "consensus", "gateway", "runtime", "sim", "wire"].map(|name| (name, level));
        // turmoil's own span tells which host runs.
        let filter = Targets::new().with_targets(ours).with_targets([
            ("turmoil::sim", Level::INFO),
            ("openraft", Level::WARN),
            ("foca", if level == Level::DEBUG { Level::INFO } else { Level::WARN }),
        ]);
        let subscriber = tracing_subscriber::registry().with(Recorder(self.clone()).with_filter(filter));
        tracing::subscriber::with_default(subscriber, work)
    }

    /// Tells the time for lines that no host logs.
    pub fn set_now(&self, now: Duration) {
        self.lock().now = now;
    }

    /// How many lines there were, and the number they fold into.
    pub fn folded_into(&self) -> (u64, u64) {
        let lines = self.lock();
        (lines.count, lines.hash)
    }

    /// The last lines.
    pub fn last(&self) -> Vec<String> {
        self.lock().last.iter().cloned().collect()
    }

    /// Writes what is not written yet.
    pub fn flush(&self) -> io::Result<()> {
        self.lock().file.as_mut().map_or(Ok(()), |file| file.flush())
    }

    fn add(&self, line: String) {
        let mut lines = self.lock();
        for byte in line.bytes() {
            lines.hash = (lines.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        lines.count += 1;
        if let Some(file) = &mut lines.file {
            // A full disk shows when it is flushed.
            let _ = writeln!(file, "{line}");
        }
        if lines.last.len() == LAST_MAX {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Recorder(Trace);

/// The name of the host that a span of turmoil's is about.
struct Host(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == HOST_SPAN
            && let Some(span) = context.span(id)
        {
            let mut text = Text::default();
            attributes.record(&mut text);
            span.extensions_mut().insert(Host(text.name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let now = turmoil::sim_elapsed().unwrap_or_else(|| self.0.lock().now);
        let mut line = format!("{:>10.3} ", now.as_secs_f64() * 1000.0);
        let scope = context.event_scope(event).into_iter().flatten();
        let host = scope.filter_map(|span| span.extensions().get::<Host>().map(|host| host.0.clone())).next();
        let host = host.as_deref().unwrap_or("-");
        let (level, target) = (event.metadata().level(), event.metadata().target());
        // Writing into a string cannot fail.
        let _ = write!(line, "{host:<7} {level:<5} {target}: {}{}", text.message, text.fields);
        self.0.add(line);
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    name: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => value.clone_into(&mut self.name),
            "message" => value.clone_into(&mut self.message),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
