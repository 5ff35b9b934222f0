//! The program's log, to standard error. Set up once, by `main`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::args::{LogArgs, LogFormat};
use crate::cli::failure::Failure;

/// What libraries log at `info` and nobody needs to see there.
const QUIET: &str =
    "openraft=warn,h2=warn,hyper=warn,rustls=warn,tonic=warn,ractor=warn,ractor_cluster=warn,foca=warn";

/// What is logged where nothing is asked for.
pub(crate) const USUAL: &str = "info";

/// Starts logging.
///
/// # Errors
/// When the filter is none.
pub(crate) fn start(args: &LogArgs) -> Result<(), Failure> {
    // A variable that is set to nothing means what none means.
    let asked = Some(args.log.as_str()).filter(|asked| !asked.trim().is_empty()).unwrap_or(USUAL);
    // What is asked for comes last, so that it wins.
    let filter = EnvFilter::try_new(format!("{QUIET},{asked}")).map_err(|e| {
        Failure::Usage(format!("--log `{}` is no filter: {e}; write `info` or `info,wire=debug`", args.log))
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Text => lines.compact().finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|e| Failure::Failed(format!("logging cannot be started: {e}")))
}
