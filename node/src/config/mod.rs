//! A node's settings: one TOML file whose sections belong to the crates that use them, overridden by arguments. Passed on
//! by value. What operators change while the cluster runs is not here but in its metadata.

mod address;
mod place;
mod resolve;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use actors::engine::Engine;
use serde::Deserialize;

pub(crate) use resolve::{LLAMA_PROGRAM, Settings, resolve};

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    /// Who this node is and where it listens.
    pub(crate) node: NodeSection,
    /// Engines by name.
    pub(crate) engines: BTreeMap<String, Engine>,
    /// The actors' section.
    pub(crate) actors: actors::Settings,
    /// The gateway's section.
    pub(crate) gateway: gateway::Config,
}

/// Section `[node]`; what is missing has a default or comes from an argument of the same name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NodeSection {
    /// Its name, unique in the cluster; the machine's by default.
    pub(crate) name: Option<String>,
    /// Its zone.
    pub(crate) zone: Option<String>,
    /// Its data directory.
    pub(crate) data: Option<PathBuf>,
    /// `host:port` for clients.
    pub(crate) http: Option<String>,
    /// `host:port` for other nodes.
    pub(crate) cluster: Option<String>,
    /// `host:port` at which other nodes reach it, where that differs.
    pub(crate) advertise: Option<String>,
    /// `host:port` at which clients reach it, where that differs.
    pub(crate) http_advertise: Option<String>,
    /// Cluster ports of nodes to join by.
    pub(crate) join: Vec<String>,
    /// A file that holds the join token.
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate chain for clients, PEM.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub(crate) tls_key: Option<PathBuf>,
    /// More certificate authorities for providers, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// What the node's own key is wrapped by on disk: `file:/PATH`, `env:NAME` or `command:/PATH [ARGUMENTS]`.
    pub(crate) key_wrap: Option<String>,
    /// What it was wrapped by before.
    pub(crate) key_wrap_old: Option<String>,
    /// Whether clients beyond this machine may come without TLS.
    pub(crate) allow_plain_http: bool,
    /// How long a graceful stop waits for streams, in milliseconds.
    pub(crate) drain_ms: Option<u64>,
    /// How long an engine may take from SIGTERM to its end, in milliseconds.
    pub(crate) stop_grace_ms: Option<u64>,
    /// Whether a new cluster offers the built-in mock provider.
    pub(crate) mock_provider: bool,
    /// Folders below which model files may lie.
    pub(crate) model_roots: Vec<PathBuf>,
}

/// What is wrong with the settings: where it says so, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Error(pub String);

/// A file that was read, with its text to point into.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) file: File,
    text: String,
    path: PathBuf,
}

impl Loaded {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file and the line.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error(format!("{} cannot be read: {e}; correct --config", path.display())))?;
        Self::parse(text, path)
    }

    fn parse(text: String, path: &Path) -> Result<Self, Error> {
        let file: File = toml::from_str(&text)
            .map_err(|e| Error(format!("{}: {}", path.display(), e.to_string().trim_end())))?;
        let loaded = Self { file, text, path: path.to_owned() };
        loaded.validate()?;
        Ok(loaded)
    }

    fn validate(&self) -> Result<(), Error> {
        let File { engines, actors, gateway, .. } = &self.file;
        if let Some(name) = engines.keys().find(|name| actors.engines.contains_key(*name)) {
            let twice =
                format!("engines.{name}: it is described in [actors.engines] too; keep one of the two");
            return Err(self.at(&twice));
        }
        self.actors().validate().map_err(|wrong| {
            let section = if wrong.starts_with("engines.") { "" } else { "actors." };
            self.at(&format!("{section}{wrong}"))
        })?;
        gateway.validate().map_err(|wrong| self.at(&format!("gateway.{}: {wrong}", wrong.field)))
    }

    /// What is allowed but better done otherwise.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let open =
            |engine: &Engine| engine.args.iter().chain(&engine.gpu_args).any(|arg| arg.contains("{key}"));
        let engines = [("engines", &self.file.engines), ("actors.engines", &self.file.actors.engines)];
        let named =
            engines.into_iter().flat_map(|(section, engines)| engines.iter().map(move |e| (section, e)));
        named
            .filter(|(_, (_, engine))| open(engine))
            .map(|(section, (name, _))| {
                let reason = "every user of the machine can list a program's arguments: pass {key} in env, if the \
                              engine reads it there";
                self.at(&format!("{section}.{name}.args: {reason}")).0
            })
            .collect()
    }

    /// The actors' section with the engines' section in it.
    pub(crate) fn actors(&self) -> actors::Settings {
        let mut actors = self.file.actors.clone();
        actors.engines.extend(self.file.engines.clone());
        actors
    }

    /// An error that starts with a setting's full name, put where that is in the file.
    fn at(&self, wrong: &str) -> Error {
        let setting = wrong.split_once(": ").map_or(wrong, |(setting, _)| setting);
        match place::line_of(&self.text, setting) {
            Some(line) => Error(format!("{}:{line}: {wrong}", self.path.display())),
            None if self.path.as_os_str().is_empty() => Error(wrong.to_owned()),
            None => Error(format!("{}: {wrong}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Loaded, Error> {
        Loaded::parse(text.to_owned(), Path::new("llmhub.toml"))
    }

    #[test]
    fn every_section_is_read() {
        let loaded = parse(
            "[node]\nname = \"a\"\nmodel_roots = [\"/models\"]\n\n[engines.vllm]\nprogram = \"vllm\"\n\
             args = [\"{port}\", \"{key}\", \"{model}\"]\n\n[actors]\nenv_allow = [\"HF_HOME\"]\n\n[gateway]\n\
             body_limit_bytes = 4096\n",
        )
        .unwrap();
        assert_eq!(loaded.file.node.name.as_deref(), Some("a"));
        assert_eq!(loaded.actors().engines["vllm"].program, "vllm");
        assert_eq!(loaded.actors().env_allow, ["HF_HOME"]);
        assert_eq!(loaded.file.gateway.body_limit_bytes, 4096);
    }

    #[test]
    fn a_typo_is_told_with_its_line() {
        let error = parse("[node]\nzone = \"az1\"\nnmae = \"a\"\n").unwrap_err().0;
        assert!(error.starts_with("llmhub.toml: ") && error.contains("line 3"), "{error}");
        assert!(error.contains("unknown field `nmae`"), "{error}");
        let error = parse("[gatway]\n").unwrap_err().0;
        assert!(error.contains("line 1") && error.contains("gatway"), "{error}");
        let error = parse("[actors]\n\nin_flight_max = \"many\"\n").unwrap_err().0;
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_is_told_with_its_line() {
        let error = parse("[actors]\ndrain_ms = 1\nin_flight_max = 0\n").unwrap_err().0;
        assert!(error.starts_with("llmhub.toml:3: actors.in_flight_max: "), "{error}");
        let error = parse("[engines.x]\nargs = []\nprogram = \"\"\n").unwrap_err().0;
        assert!(error.starts_with("llmhub.toml:3: engines.x.program: "), "{error}");
        let error = parse("[gateway]\nidle_timeout_ms = 0\n").unwrap_err().0;
        assert!(error.starts_with("llmhub.toml:2: gateway.idle_timeout_ms: "), "{error}");
    }

    /// The example in `docs/configuration.md`, which users copy.
    fn documented() -> String {
        let page = include_str!("../../../docs/configuration.md");
        let example = page.split("```toml\n").nth(1).unwrap();
        example.split("```").next().unwrap().to_owned()
    }

    /// Lines that are settings commented out, taken in.
    fn uncommented(text: &str) -> String {
        let setting = |line: &str| {
            let bare = line.strip_prefix("# ")?;
            let (name, _) = bare.split_once(" = ")?;
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then(|| bare.to_owned())
        };
        text.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
    }

    #[test]
    fn the_documented_file_is_good_with_and_without_what_is_commented_out() {
        let loaded = parse(&documented()).unwrap();
        assert_eq!(loaded.warnings(), Vec::<String>::new());
        let whole = uncommented(&documented());
        assert!(!whole.contains("\n# "), "a setting is not written as one: {whole}");
        let loaded = parse(&whole).unwrap();
        assert!(loaded.file.node.tls_key.is_some() && loaded.file.node.token_file.is_some());
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let documented = parse(&documented()).unwrap();
        assert_eq!(documented.file.gateway, gateway::Config::default());
        let (said, real) = (documented.file.actors, actors::Settings::default());
        assert_eq!((said.in_flight_max, said.drain_ms), (real.in_flight_max, real.drain_ms));
    }

    #[test]
    fn a_key_among_an_engines_arguments_is_warned_of_with_its_line() {
        let engine = "program = \"p\"\nargs = [\"{port}\", \"{key}\", \"{model}\"]\n";
        let warnings = parse(&format!("[engines.x]\n{engine}")).unwrap().warnings();
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("llmhub.toml:3: engines.x.args: "),
            "{warnings:?}"
        );
        let engine = "program = \"p\"\nargs = [\"{port}{model}\"]\nenv = { KEY = \"{key}\" }\n";
        assert!(parse(&format!("[engines.x]\n{engine}")).unwrap().warnings().is_empty());
    }

    #[test]
    fn an_engine_described_twice_is_refused() {
        let engine = "program = \"p\"\nargs = [\"{port}{key}{model}\"]\n";
        let error = parse(&format!("[engines.x]\n{engine}[actors.engines.x]\n{engine}")).unwrap_err().0;
        assert!(error.starts_with("llmhub.toml:1: engines.x: "), "{error}");
    }
}
