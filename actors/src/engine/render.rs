//! Fills in an engine's template for one start of one replica, and refuses what the node's configuration does not allow.

use std::collections::BTreeMap;

use domain::deployment::Spec;

use super::{ANY_ARG, Engine, PLACEHOLDERS};
use crate::ports::Spawn;
use crate::secret::Secret;

/// Engines listen here and nowhere else.
pub const HOST: &str = "127.0.0.1";

/// What one start of a replica has of its own.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Names it in logs: `dep-…/0`.
    pub label: String,
    /// What the user wants.
    pub spec: &'a Spec,
    /// The model file, if the engine needs one.
    pub model: Option<&'a str>,
    /// Its GPUs.
    pub gpus: &'a [u32],
    /// The node's logical CPUs.
    pub cpus: u32,
    /// Its port.
    pub port: u16,
    /// Its key.
    pub key: &'a Secret,
}

/// Why a deployment cannot be run by this node's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A variable is not allowed.
    #[error(
        "environment variable {0} is not allowed on this node: add it to `env_allow` in its configuration, or leave it out"
    )]
    Env(String),
    /// An argument is not allowed.
    #[error(
        "engine argument `{0}` is not allowed on this node: add it to the engine's `args_allow`, or leave it out"
    )]
    Arg(String),
}

/// The process to start. `env_allow` are the variables a deployment may set; the engine's own go before them.
pub fn launch(engine: &Engine, env_allow: &[String], launch: &Launch<'_>) -> Result<Spawn, RenderError> {
    let spec = launch.spec;
    if let Some(name) = spec.env.keys().find(|name| !env_allow.contains(name)) {
        return Err(RenderError::Env(name.clone()));
    }
    check_args(engine, &spec.args)?;
    let gpu_args: &[String] = if launch.gpus.is_empty() { &[] } else { &engine.gpu_args };
    let mut args: Vec<String> = engine.args.iter().chain(gpu_args).map(|arg| fill(arg, launch)).collect();
    args.extend(spec.args.iter().cloned());
    let mut env: BTreeMap<String, String> = spec.env.clone();
    // Always set: an engine without GPUs of its own must not take another's.
    env.insert("CUDA_VISIBLE_DEVICES".to_owned(), gpu_list(launch.gpus));
    // CUDA counts the fastest first by itself, the node's list counts by bus.
    env.insert("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned());
    env.extend(engine.env.iter().map(|(name, value)| (name.clone(), fill(value, launch))));
    Ok(Spawn { label: launch.label.clone(), program: engine.program.clone(), args, env })
}

/// A deployment's arguments are flags of the allow-list, each with values behind it that are no flags.
fn check_args(engine: &Engine, args: &[String]) -> Result<(), RenderError> {
    if engine.args_allow.iter().any(|name| name == ANY_ARG) {
        return Ok(());
    }
    for (place, arg) in args.iter().enumerate() {
        let flag = arg.starts_with('-') && !arg[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let name = arg.split('=').next().unwrap_or(arg);
        let allowed = if flag { engine.args_allow.iter().any(|a| a == name) } else { place > 0 };
        if !allowed {
            return Err(RenderError::Arg(name.to_owned()));
        }
    }
    Ok(())
}

fn gpu_list(gpus: &[u32]) -> String {
    gpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// One pass from left to right: what is filled in is never looked at again, so a path may hold braces.
fn fill(template: &str, launch: &Launch<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let known = PLACEHOLDERS
            .iter()
            .find(|name| rest[1..].strip_prefix(**name).is_some_and(|after| after.starts_with('}')));
        match known {
            Some(name) => {
                out.push_str(&value(name, launch));
                rest = &rest[name.len() + 2..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn value(placeholder: &str, launch: &Launch<'_>) -> String {
    match placeholder {
        "model" => launch.model.unwrap_or_default().to_owned(),
        "port" => launch.port.to_string(),
        "host" => HOST.to_owned(),
        "key" => launch.key.expose().to_owned(),
        "gpus" => gpu_list(launch.gpus),
        _ => threads(launch.spec.resources.cpus, launch.cpus).to_string(),
    }
}

/// How many threads an engine computes with: the CPUs it asked for. One that asked for none gets half of the node's logical
/// CPUs: about one a core, since a second thread on a core slows arithmetic down, and the node itself wants some.
fn threads(asked: u32, node: u32) -> u32 {
    if asked > 0 { asked } else { (node / 2).max(1) }
}

/// Whether a template only asks for what can be filled in: `{word}` must be one of ours.
pub(super) fn check(template: &str) -> Result<(), String> {
    for piece in template.split('{').skip(1) {
        let Some((name, _)) = piece.split_once('}') else { continue };
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if word && !PLACEHOLDERS.contains(&name) {
            return Err(format!(
                "args: there is nothing called {{{name}}}, only {}",
                PLACEHOLDERS.join(", ")
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::builtin;
    use domain::ModelId;
    use domain::deployment::Resources;

    fn spec(args: &[&str], env: &[(&str, &str)]) -> Spec {
        Spec {
            name: "tiny".to_owned(),
            model: ModelId::from("tiny"),
            engine: "llama".to_owned(),
            replicas: 1,
            resources: Resources { cpus: 3, ..Resources::default() },
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            policy: Default::default(),
        }
    }

    fn start(spec: &Spec, gpus: &[u32]) -> Result<Spawn, RenderError> {
        let key = Secret::new("k3y".to_owned());
        let model = Some("/models/{key}.gguf");
        let how = Launch { label: "dep-1/0".to_owned(), spec, model, gpus, cpus: 16, port: 4711, key: &key };
        launch(&builtin("llama").unwrap(), &["HF_HOME".to_owned()], &how)
    }

    #[test]
    fn a_template_is_filled_in_once() {
        let spawn = start(&spec(&["--ctx-size", "512", "--seed", "-1"], &[("HF_HOME", "/h")]), &[]).unwrap();
        let expected =
            "-m /models/{key}.gguf --host 127.0.0.1 --port 4711 -t 3 --no-webui --ctx-size 512 --seed -1";
        assert_eq!(spawn.args.join(" "), expected);
        assert_eq!(spawn.env["LLAMA_API_KEY"], "k3y");
        assert_eq!(spawn.env["CUDA_VISIBLE_DEVICES"], "");
        assert_eq!(spawn.env["HF_HOME"], "/h");
    }

    #[test]
    fn an_engine_that_asks_for_no_cpus_gets_half_of_the_nodes() {
        let mut any = spec(&[], &[]);
        any.resources.cpus = 0;
        assert!(start(&any, &[]).unwrap().args.join(" ").contains("-t 8 "));
        assert_eq!([threads(0, 0), threads(0, 1), threads(0, 3), threads(0, 64)], [1, 1, 1, 32]);
        assert_eq!(threads(5, 2), 5, "what is asked for is given, placement has looked at it");
    }

    #[test]
    fn gpus_add_their_arguments() {
        let spawn = start(&spec(&[], &[]), &[1, 3]).unwrap();
        assert!(spawn.args.join(" ").ends_with("-ngl 99"));
        assert_eq!(spawn.env["CUDA_VISIBLE_DEVICES"], "1,3");
    }

    #[test]
    fn what_is_not_on_a_list_is_refused_by_name() {
        let refused = |spec: &Spec| start(spec, &[]).err().unwrap();
        assert_eq!(refused(&spec(&[], &[("LD_PRELOAD", "x")])), RenderError::Env("LD_PRELOAD".to_owned()));
        for args in
            [&["--host", "0.0.0.0"][..], &["--ctx-size", "1", "--host=0.0.0.0"], &["x"], &["--"], &["-"]]
        {
            assert!(matches!(refused(&spec(args, &[])), RenderError::Arg(_)), "{args:?}");
        }
    }

    #[test]
    fn a_template_that_asks_for_something_unknown_is_told() {
        let engine = |arg: &str| {
            let mut engine = builtin("mock").unwrap();
            engine.args.push(arg.to_owned());
            engine.validate()
        };
        assert!(engine("{modle}").unwrap_err().contains("{modle}"));
        assert_eq!(engine(r#"{"json": 1}"#), Ok(()));
    }
}
