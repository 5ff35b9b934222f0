//! The engines every node knows without being told.

use std::collections::BTreeMap;

use super::{ANY_ARG, Engine, READY_TIMEOUT_MS, SELF_PROGRAM};

/// Names of the built-in engines.
pub const BUILTIN: [&str; 2] = ["llama", "mock"];

/// What a deployment may add to llama-server's arguments: how it computes, never where it listens or what it opens.
const LLAMA_ARGS: [&str; 34] = [
    "-t",
    "--threads",
    "-tb",
    "--threads-batch",
    "-c",
    "--ctx-size",
    "-n",
    "--predict",
    "--n-predict",
    "-b",
    "--batch-size",
    "-ub",
    "--ubatch-size",
    "-np",
    "--parallel",
    "-cb",
    "--cont-batching",
    "-fa",
    "--flash-attn",
    "-ngl",
    "--gpu-layers",
    "--n-gpu-layers",
    "-ctk",
    "--cache-type-k",
    "-ctv",
    "--cache-type-v",
    "--mlock",
    "--no-mmap",
    "--embedding",
    "--embeddings",
    "--pooling",
    "--jinja",
    "-s",
    "--seed",
];

/// The built-in engine of that name.
pub fn builtin(name: &str) -> Option<Engine> {
    match name {
        "llama" => Some(llama()),
        "mock" => Some(mock()),
        _ => None,
    }
}

/// llama.cpp's server. Its key goes by the environment, where other users of the machine cannot list it. Its threads are
/// always told: the CPUs the deployment asked for, or half of the node's where it asked for none. Left to itself the server
/// would count the machine's CPUs, also those that the node may not use. A deployment's own `-t` comes later and wins.
fn llama() -> Engine {
    Engine {
        program: "llama-server".to_owned(),
        args: texts(&[
            "-m",
            "{model}",
            "--host",
            "{host}",
            "--port",
            "{port}",
            "-t",
            "{threads}",
            "--no-webui",
        ]),
        gpu_args: texts(&["-ngl", "99"]),
        env: BTreeMap::from([("LLAMA_API_KEY".to_owned(), "{key}".to_owned())]),
        args_allow: texts(&LLAMA_ARGS),
        health_path: super::health_path(),
        base_path: super::base_path(),
        ready_timeout_ms: READY_TIMEOUT_MS,
        model_required: true,
        magic: Some("GGUF".to_owned()),
    }
}

/// llmhub itself with deterministic answers, for development and tests.
fn mock() -> Engine {
    Engine {
        program: SELF_PROGRAM.to_owned(),
        args: texts(&["mock-engine", "--port", "{port}"]),
        gpu_args: Vec::new(),
        env: BTreeMap::from([("LLMHUB_ENGINE_KEY".to_owned(), "{key}".to_owned())]),
        args_allow: texts(&[ANY_ARG]),
        health_path: super::health_path(),
        base_path: super::base_path(),
        ready_timeout_ms: 15_000,
        model_required: false,
        magic: None,
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_engines_are_valid() {
        for name in BUILTIN {
            assert_eq!(builtin(name).unwrap().validate(), Ok(()), "{name}");
        }
    }
}
