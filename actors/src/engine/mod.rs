//! Engines: programs that serve a model over OpenAI's interface on loopback. A node runs only what its own configuration
//! names; this module holds the templates and fills them in. The deployment actor uses it; it starts nothing itself.

mod builtin;
mod render;

use std::collections::BTreeMap;

use domain::Millis;
use serde::{Deserialize, Serialize};

pub use builtin::{BUILTIN, builtin};
pub use render::{HOST, Launch, RenderError, launch};

/// The program of the mock engine: `llmhub` itself, whose path the node fills in.
pub const SELF_PROGRAM: &str = "self";
/// In [`Engine::args_allow`]: any argument.
pub const ANY_ARG: &str = "*";

const READY_TIMEOUT_MS: Millis = 10 * 60 * 1000;
const PLACEHOLDERS: [&str; 6] = ["model", "port", "host", "key", "gpus", "threads"];

/// How to run an engine. In `args` and in the values of `env` these are filled in: `{model}` the model file's path, `{host}`
/// and `{port}` where it must listen, `{key}` the key it must ask for, `{gpus}` indexes of its GPUs with commas between,
/// `{threads}` the CPUs it asked for, or half of the node's where it asked for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Its program: a path, a name on PATH, or `self` for llmhub itself.
    pub program: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// More arguments, for replicas with GPUs.
    #[serde(default)]
    pub gpu_args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names of the arguments a deployment may add (`--ctx-size`), or `*` for any.
    #[serde(default)]
    pub args_allow: Vec<String>,
    /// Answers 200 when it can serve.
    #[serde(default = "health_path")]
    pub health_path: String,
    /// What its addresses begin with.
    #[serde(default = "base_path")]
    pub base_path: String,
    /// How long it may take to load its model, in milliseconds.
    #[serde(default = "ready_timeout_ms")]
    pub ready_timeout_ms: Millis,
    /// Whether it needs a model file.
    #[serde(default = "model_required")]
    pub model_required: bool,
    /// What a model file must begin with.
    #[serde(default)]
    pub magic: Option<String>,
}

fn health_path() -> String {
    "/health".to_owned()
}
fn base_path() -> String {
    "/v1".to_owned()
}
fn ready_timeout_ms() -> Millis {
    READY_TIMEOUT_MS
}
fn model_required() -> bool {
    true
}

impl Engine {
    /// What is wrong, as a field and what to do about it.
    ///
    /// # Errors
    /// One sentence that starts with the field.
    pub fn validate(&self) -> Result<(), String> {
        if self.program.is_empty() {
            return Err("program: name the engine's program".to_owned());
        }
        for path in [&self.health_path, &self.base_path] {
            if !path.is_empty() && !path.starts_with('/') {
                return Err(format!("health_path or base_path: start `{path}` with a slash"));
            }
        }
        if self.ready_timeout_ms == 0 {
            return Err("ready_timeout_ms: allow some time".to_owned());
        }
        let texts = self.args.iter().chain(&self.gpu_args).chain(self.env.values());
        for text in texts.clone() {
            render::check(text)?;
        }
        if !texts.clone().any(|t| t.contains("{port}")) {
            return Err("args: pass {port}, the port it must listen on".to_owned());
        }
        if !texts.clone().any(|t| t.contains("{key}")) {
            return Err("args: pass {key}, the key it must ask for, here or in env".to_owned());
        }
        if self.model_required && !texts.clone().any(|t| t.contains("{model}")) {
            return Err("args: pass {model}, or set model_required = false".to_owned());
        }
        Ok(())
    }
}
