//! Commands that need no running node: checking a configuration, repairing a stopped node, serving the mock engine.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::args::MockEngineArgs;
use super::failure::Failure;
use crate::config::{self, Loaded};
use crate::data_dir::DataDir;
use crate::os::entropy::OsEntropy;
use crate::os::files::OsFiles;
use crate::os::listen;

/// Connections of the mock engine at most.
const MOCK_CONNECTIONS_MAX: usize = 1024;

/// `llmhub config check`.
///
/// # Errors
/// Names the file and, where one is to blame, the line.
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    let loaded = Loaded::read(file)?;
    config::resolve(super::args::no_node_args(), loaded, |_| None)?;
    super::print(&format!("{} is good\n", file.display()))
}

/// `llmhub admin reset-key`.
///
/// # Errors
/// What to do.
pub(crate) async fn reset_key(data: &Path, json: bool) -> Result<(), Failure> {
    let data = DataDir::open_existing(data).map_err(|e| Failure::Failed(e.to_string()))?;
    let key = runtime::request_admin_reset(&OsFiles::new(data.path()), &OsEntropy::default()).await;
    let key = key.map_err(|e| Failure::Failed(e.to_string()))?;
    if !json {
        eprintln!("a new admin key; it is good once the node has started again, and is shown this once:");
    }
    super::print_one(&json!({ "key": key }), json, &key)
}

/// `llmhub mock-engine`.
///
/// # Errors
/// When the port cannot be listened on.
pub(crate) async fn mock_engine(args: MockEngineArgs) -> Result<(), Failure> {
    let listener: TcpListener = listen::tcp(&format!("127.0.0.1:{}", args.port), "--port").await?;
    let key: Option<Arc<str>> = args.key.map(Into::into);
    let slots = Arc::new(Semaphore::new(MOCK_CONNECTIONS_MAX));
    eprintln!("the mock engine listens on port {}", args.port);
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        let (stream, _) = listen::accept(&listener).await;
        let key = key.clone();
        tokio::spawn(async move {
            runtime::mock_engine::serve(stream, key).await;
            drop(slot);
        });
    }
}
