//! The trace: every line that a simulated node, the world or a client logs, with simulated time and the host it is of.
//! Folded into one number, heard by the run's story, and written whole to a file on request. Two runs of a seed must give
//! the same lines.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::story::{Line, Story};

/// The span under which turmoil runs each host.
const HOST_SPAN: &str = "node";
const TURMOIL: &str = "turmoil::sim";
/// Whose lines are kept: this project's crates.
const OURS: &[&str] = &["actors", "consensus", "gateway", "runtime", "sim", "wire"];

/// A run's trace. Cloning it gives another handle on the same one.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    hash: u64,
    count: u64,
    story: Story,
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
        let (story, now) = (Story::default(), Duration::ZERO);
        Self(Arc::new(Mutex::new(Lines {
            hash: 0xcbf2_9ce4_8422_2325,
            count: 0,
            story,
            file,
            now,
            detailed,
        })))
    }

    /// Runs `work` with everything it logs going here.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        let level = if self.lock().detailed { Level::DEBUG } else { Level::INFO };
        let subscriber = Recorder { trace: self.clone(), level, hosts: Mutex::default() };
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

    /// Looks at the run's story so far.
    pub fn story<T>(&self, look: impl FnOnce(&Story) -> T) -> T {
        look(&self.lock().story)
    }

    /// Writes what is not written yet.
    pub fn flush(&self) -> io::Result<()> {
        self.lock().file.as_mut().map_or(Ok(()), |file| file.flush())
    }

    fn add(&self, line: &str, parts: &Line<'_>) {
        let mut lines = self.lock();
        lines.story.hear(parts);
        for byte in line.bytes() {
            lines.hash = (lines.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        lines.count += 1;
        if let Some(file) = &mut lines.file {
            // A full disk shows when it is flushed.
            let _ = writeln!(file, "{line}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subscriber of a run. It knows one kind of span, turmoil's, which tells the host that runs; a registry of spans that
/// can do more costs a tenth of a run.
struct Recorder {
    trace: Trace,
    /// The most that is kept of this project's own lines.
    level: Level,
    hosts: Mutex<Hosts>,
}

/// Hosts by number, and those entered.
#[derive(Default)]
struct Hosts {
    names: Vec<String>,
    entered: Vec<u64>,
}

impl Hosts {
    /// The number of a host's spans, from 1.
    fn number(&mut self, name: String) -> u64 {
        let known = self.names.iter().position(|other| *other == name);
        let at = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        at as u64 + 1
    }

    fn current(&self) -> &str {
        let number = self.entered.last().map_or(0, |number| *number as usize);
        number.checked_sub(1).and_then(|at| self.names.get(at)).map_or("-", String::as_str)
    }
}

impl Recorder {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return metadata.name() == HOST_SPAN && metadata.target() == TURMOIL;
        }
        let target = metadata.target();
        let detailed = self.level == Level::DEBUG;
        let most = match target.split("::").next().unwrap_or_default() {
            part if OURS.contains(&part) => self.level,
            "foca" if detailed => Level::INFO,
            "openraft" | "foca" => Level::WARN,
            _ => return target == TURMOIL && *metadata.level() <= Level::INFO,
        };
        *metadata.level() <= most
    }

    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut text = Text::default();
        attributes.record(&mut text);
        Id::from_u64(self.hosts().number(text.name))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, span: &Id) {
        self.hosts().entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.hosts().entered.pop();
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let now = turmoil::sim_elapsed().unwrap_or_else(|| self.trace.lock().now);
        let mut line = format!("{:>10.3} ", now.as_secs_f64() * 1000.0);
        let hosts = self.hosts();
        let host = hosts.current();
        let (level, target) = (event.metadata().level(), event.metadata().target());
        // Writing into a string cannot fail.
        let _ = write!(line, "{host:<7} {level:<5} {target}: {}{}", text.message, text.fields);
        let (message, fields) = (text.message.as_str(), text.fields.as_str());
        self.trace.add(&line, &Line { at: now, host, level: *level, target, message, fields });
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
