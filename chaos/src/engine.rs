//! What runs the scenarios' models: a real llama-server on a tiny model where the environment names both, else the mock
//! engine that is part of `llmhub`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

/// Where the engine's program is; the nodes read it too.
const SERVER: &str = "LLMHUB_ENGINE_LLAMA_SERVER";
/// Where its model is.
const MODEL: &str = "LLMHUB_TINY_GGUF";
/// Several engines share one machine's cores; and all streams of a scenario fit, each in a context of its own: where they
/// share one, a full one ends them all.
const LLAMA_ARGS: &[&str] = &["--threads", "1", "--parallel", "8", "--ctx-size", "32768"];

/// More replicas than this are run by the mock engine: real ones do not fit on one machine.
const REAL_REPLICAS_MAX: u32 = 9;

/// The kinds of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// Part of `llmhub`; needs no model.
    Mock,
    /// A real llama-server.
    Llama,
}

/// An engine, ready to be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The mock engine.
    Mock,
    /// llama-server on this model's file.
    Llama(PathBuf),
}

impl Engine {
    /// The engine that was asked for, or the best that the environment allows.
    ///
    /// # Errors
    /// When a llama-server was asked for and the environment does not name what it needs.
    pub(crate) fn choose(
        asked: Option<EngineKind>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let set = |name| environment(name).filter(|value| !value.is_empty());
        match (asked, set(SERVER).and(set(MODEL))) {
            (Some(EngineKind::Mock), _) | (None, None) => Ok(Engine::Mock),
            (_, Some(model)) => {
                let path = Path::new(&model);
                let path = path.canonicalize().with_context(|| format!("{MODEL} names {model}"))?;
                Ok(Engine::Llama(path))
            }
            (Some(EngineKind::Llama), None) => {
                bail!("set {SERVER} and {MODEL}, or use --engine mock")
            }
        }
    }

    /// The same, or the mock engine where there are many replicas.
    pub(crate) fn for_replicas(&self, replicas: u32) -> Self {
        if replicas > REAL_REPLICAS_MAX { Engine::Mock } else { self.clone() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Engine::Mock => "mock",
            Engine::Llama(_) => "llama",
        }
    }

    /// The folder below which nodes must be allowed to read models.
    pub(crate) fn model_root(&self) -> Option<&Path> {
        match self {
            Engine::Mock => None,
            Engine::Llama(path) => path.parent(),
        }
    }

    /// What `POST /v1/deploy` is sent.
    pub(crate) fn deployment(&self, name: &str, replicas: u32) -> Value {
        let (model, args) = match self {
            Engine::Mock => ("mock".to_owned(), vec![]),
            Engine::Llama(path) => (format!("file://{}", path.display()), LLAMA_ARGS.to_vec()),
        };
        json!({
            "modelId": model, "cluster": "default", "name": name, "engine": self.name(), "replicas": replicas,
            "args": args,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_unless_somebody_asks() {
        let model = std::env::current_exe().unwrap();
        let full = |_: &str| Some(model.display().to_string());
        let none = |_: &str| None;
        assert_eq!(Engine::choose(None, none).unwrap(), Engine::Mock);
        assert!(matches!(Engine::choose(None, full).unwrap(), Engine::Llama(_)));
        assert_eq!(Engine::choose(Some(EngineKind::Mock), full).unwrap(), Engine::Mock);
        let error = Engine::choose(Some(EngineKind::Llama), none).unwrap_err();
        assert!(error.to_string().contains(SERVER), "{error}");
        let real = Engine::Llama(model);
        assert_eq!((real.for_replicas(3), real.for_replicas(100)), (real.clone(), Engine::Mock));
    }
}
