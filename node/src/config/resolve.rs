//! From the file, the arguments and the environment to what a node is started with: arguments first, then the file, then
//! defaults. Refuses what would surprise later: addresses nobody can call, passwords in the clear.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Error, Loaded, address};
use crate::cli::args::NodeArgs;
use crate::cli::secret;
use crate::data_dir;
use crate::os::capacity;
use crate::os::network::Listen;
use crate::os::wrapping::Wrapping;

const HTTP: &str = "127.0.0.1:6602";
const CLUSTER: &str = "127.0.0.1:7602";
const ZONE: &str = "default";
const DATA: &str = "llmhub-data";
const DRAIN_MS: u64 = 30_000;
const STOP_GRACE_MS: u64 = 10_000;
/// The variable that says where the built-in engine's program is.
pub(crate) const LLAMA_PROGRAM: &str = "LLMHUB_ENGINE_LLAMA_SERVER";
const LLAMA: &str = "llama";
/// Model files are looked for here, below the data directory, where nothing else is configured.
const MODELS: &str = "models";

/// What a node is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// Where it listens.
    pub(crate) listen: Listen,
    /// Folders below which model files may lie.
    pub(crate) model_roots: Vec<PathBuf>,
    /// What the node's own key is wrapped by on disk.
    pub(crate) key_wrap: Option<Wrapping>,
    /// What it was wrapped by before.
    pub(crate) key_wrap_old: Option<Wrapping>,
    /// How long an engine may take to end.
    pub(crate) stop_grace: Duration,
    advertise: Option<String>,
    http_advertise: Option<String>,
    name: String,
    zone: String,
    join: Vec<String>,
    token: Option<String>,
    mock_provider: bool,
    drain_ms: u64,
    gateway: gateway::Config,
    actors: actors::Settings,
}

/// Puts a node's settings together. `environment` looks a variable up.
///
/// # Errors
/// Names the setting and what to do.
pub(crate) fn resolve(
    args: NodeArgs,
    loaded: Loaded,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Settings, Error> {
    let actors = with_llama(loaded.actors(), environment(LLAMA_PROGRAM));
    let node = loaded.file.node.clone();
    let data = args.data.or(node.data).unwrap_or_else(|| PathBuf::from(DATA));
    let name = args.name.or(node.name).or_else(capacity::hostname).ok_or_else(|| {
        loaded.at("node.name: this machine's name cannot be a node's; choose one with --name")
    })?;
    let roots = [args.model_root, node.model_roots].concat();
    let settings = Settings {
        listen: Listen {
            http: args.http.or(node.http).unwrap_or_else(|| HTTP.to_owned()),
            cluster: args.cluster.or(node.cluster).unwrap_or_else(|| CLUSTER.to_owned()),
            http_tls: tls_files(&loaded, args.tls_cert.or(node.tls_cert), args.tls_key.or(node.tls_key))?,
            ca_file: node.ca_file,
        },
        model_roots: if roots.is_empty() { vec![data.join(MODELS)] } else { roots },
        stop_grace: Duration::from_millis(node.stop_grace_ms.unwrap_or(STOP_GRACE_MS)),
        key_wrap: wrapping(&loaded, "node.key_wrap", args.key_wrap.or(node.key_wrap))?,
        key_wrap_old: wrapping(&loaded, "node.key_wrap_old", args.key_wrap_old.or(node.key_wrap_old))?,
        advertise: args.advertise.or(node.advertise),
        http_advertise: args.http_advertise.or(node.http_advertise),
        name,
        zone: args.zone.or(node.zone).unwrap_or_else(|| ZONE.to_owned()),
        join: if args.join.is_empty() { node.join } else { args.join },
        token: token(&data, args.token, node.token_file)?,
        mock_provider: args.mock_provider || node.mock_provider,
        drain_ms: node.drain_ms.unwrap_or(DRAIN_MS),
        gateway: loaded.file.gateway.clone(),
        actors,
        data,
    };
    settings.check(&loaded, args.allow_plain_http || node.allow_plain_http)?;
    Ok(settings)
}

impl Settings {
    fn check(&self, loaded: &Loaded, allow_plain_http: bool) -> Result<(), Error> {
        let at = |setting: &str, reason: String| loaded.at(&format!("{setting}: {reason}"));
        for (setting, name) in [("node.name", &self.name), ("node.zone", &self.zone)] {
            domain::ids::check_name(name)
                .map_err(|hint| at(setting, format!("`{name}` cannot be one: {hint}")))?;
        }
        let split = |setting, addr| address::split(addr).map_err(|reason| at(setting, reason));
        let (cluster, _) = split("node.cluster", &self.listen.cluster)?;
        let (http, _) = split("node.http", &self.listen.http)?;
        for addr in &self.join {
            split("node.join", addr)?;
        }
        for (setting, addr) in
            [("node.advertise", &self.advertise), ("node.http_advertise", &self.http_advertise)]
        {
            let host = addr.as_deref().map(|addr| split(setting, addr)).transpose()?.map(|(host, _)| host);
            if host.is_some_and(address::is_unspecified) {
                return Err(at(
                    setting,
                    "nobody can call all addresses: name the one others reach".to_owned(),
                ));
            }
        }
        if address::is_unspecified(cluster) && self.advertise.is_none() {
            let reason = format!(
                "{} stands for every address of this machine: say with --advertise HOST:PORT at which of them other \
                 nodes reach it",
                self.listen.cluster
            );
            return Err(at("node.cluster", reason));
        }
        if self.listen.http_tls.is_none() && !address::is_loopback(http) && !allow_plain_http {
            let reason = format!(
                "{} is reachable from outside, and API keys would cross the network in the clear: give certificate \
                 and key with --tls-cert and --tls-key, or --allow-plain-http where something in front does TLS",
                self.listen.http
            );
            return Err(at("node.http", reason));
        }
        Ok(())
    }

    /// What the runtime is told, now that the ports are bound to these addresses.
    pub(crate) fn runtime(&self, cluster: SocketAddr, http: SocketAddr) -> runtime::Config {
        let bound = |addr: &str, port: u16| {
            address::split(addr).map_or_else(|_| addr.to_owned(), |(host, _)| address::join(host, port))
        };
        let cluster_addr =
            self.advertise.clone().unwrap_or_else(|| bound(&self.listen.cluster, cluster.port()));
        let http_addr = self.http_advertise.clone().unwrap_or_else(|| {
            // A node that listens everywhere is reached by clients where other nodes reach it.
            let from = if http.ip().is_unspecified() { &cluster_addr } else { &self.listen.http };
            bound(from, http.port())
        });
        runtime::Config {
            name: self.name.clone(),
            zone: self.zone.clone(),
            cluster_addr,
            http_addr,
            join: self.join.clone(),
            token: self.token.clone(),
            mock_provider: self.mock_provider,
            cpus: capacity::cpus(),
            memory_mib: capacity::memory_mib(),
            version: domain::level::stamp(env!("CARGO_PKG_VERSION"), domain::command::VERSION),
            snapshot_every: None,
            drain_ms: self.drain_ms,
            gateway: self.gateway.clone(),
            actors: self.actors.clone(),
        }
    }
}

/// The built-in engine with the program that the environment names, unless the file describes its own.
fn with_llama(mut actors: actors::Settings, program: Option<String>) -> actors::Settings {
    if let Some(program) = program.filter(|program| !program.is_empty())
        && !actors.engines.contains_key(LLAMA)
        && let Some(engine) = actors::engine::builtin(LLAMA)
    {
        actors.engines.insert(LLAMA.to_owned(), actors::engine::Engine { program, ..engine });
    }
    actors
}

/// What a key is wrapped by; one that is empty is none.
fn wrapping(loaded: &Loaded, setting: &str, text: Option<String>) -> Result<Option<Wrapping>, Error> {
    let text = text.filter(|text| !text.trim().is_empty());
    text.map(|text| text.parse().map_err(|hint| loaded.at(&format!("{setting}: {hint}")))).transpose()
}

fn tls_files(
    loaded: &Loaded,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(loaded.at("node.tls_cert: a certificate needs its key: add --tls-key")),
        (None, Some(_)) => Err(loaded.at("node.tls_key: a key needs its certificate: add --tls-cert")),
    }
}

/// The token to join with; one that is empty is none. A node that has joined needs none any more: its file may be gone.
fn token(data: &Path, given: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, Error> {
    let given = given.filter(|given| !given.trim().is_empty());
    let (given, setting) = match (given, file) {
        (Some(given), _) => (given, "--token"),
        (None, Some(file)) => (format!("@{}", file.display()), "token_file"),
        (None, None) => return Ok(None),
    };
    match secret::read(&given, setting) {
        Ok(token) => Ok(Some(token)),
        Err(_) if data_dir::has_identity(data) => Ok(None),
        Err(reason) => Err(Error(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    fn settings(args: NodeArgs, file: &str) -> Result<Settings, Error> {
        let file: File = toml::from_str(file).unwrap();
        resolve(args, Loaded { file, ..Loaded::default() }, |_| None)
    }

    fn args(more: &[&str]) -> NodeArgs {
        crate::cli::args::node_args(&[&["--name", "a"], more].concat())
    }

    fn runtime(settings: &Settings) -> runtime::Config {
        settings.runtime("127.0.0.1:7001".parse().unwrap(), "127.0.0.1:6001".parse().unwrap())
    }

    #[test]
    fn arguments_win_over_the_file_and_the_file_over_defaults() {
        let file = "[node]\nname = \"from-file\"\nzone = \"az9\"\nhttp = \"127.0.0.1:1\"\n";
        let config = settings(args(&["--http", "127.0.0.1:0"]), file).unwrap();
        let told = runtime(&config);
        assert_eq!((told.name.as_str(), told.zone.as_str()), ("a", "az9"));
        assert_eq!(
            (told.http_addr.as_str(), told.cluster_addr.as_str()),
            ("127.0.0.1:6001", "127.0.0.1:7001")
        );
        assert_eq!(config.model_roots, [PathBuf::from("llmhub-data/models")]);
    }

    #[test]
    fn every_address_of_the_machine_needs_one_to_advertise() {
        let error = settings(args(&["--cluster", "0.0.0.0:7602"]), "").unwrap_err().0;
        assert!(error.contains("--advertise"), "{error}");
        let config =
            settings(args(&["--cluster", "0.0.0.0:7602", "--advertise", "n1.lan:7602"]), "").unwrap();
        assert_eq!(runtime(&config).cluster_addr, "n1.lan:7602");
        assert!(settings(args(&["--advertise", "0.0.0.0:7602"]), "").is_err());
    }

    #[test]
    fn plain_http_beyond_loopback_must_be_asked_for() {
        let error = settings(args(&["--http", "0.0.0.0:6602"]), "").unwrap_err().0;
        assert!(error.contains("--allow-plain-http"), "{error}");
        assert!(settings(args(&["--http", "0.0.0.0:6602", "--allow-plain-http"]), "").is_ok());
        assert!(settings(args(&["--http", "0.0.0.0:6602", "--tls-cert", "c", "--tls-key", "k"]), "").is_ok());
        assert!(settings(args(&["--tls-cert", "c"]), "").unwrap_err().0.contains("--tls-key"));
        let config = settings(args(&["--http", "0.0.0.0:6602", "--allow-plain-http"]), "").unwrap();
        let told = config.runtime("10.0.0.7:7001".parse().unwrap(), "0.0.0.0:6001".parse().unwrap());
        assert_eq!(told.http_addr, "127.0.0.1:6001", "the host other nodes use");
    }

    #[test]
    fn the_environment_names_the_llama_engines_program() {
        let file = Loaded::default();
        let env = |name: &str| (name == LLAMA_PROGRAM).then(|| "/opt/llama-server".to_owned());
        let config = resolve(args(&[]), file, env).unwrap();
        assert_eq!(config.actors.engine(LLAMA).unwrap().program, "/opt/llama-server");
        assert_eq!(settings(args(&[]), "").unwrap().actors.engine(LLAMA).unwrap().program, "llama-server");
    }

    #[test]
    fn a_token_may_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "llmhub1.x\n").unwrap();
        let config = settings(args(&[]), &format!("[node]\ntoken_file = {path:?}\n")).unwrap();
        assert_eq!(runtime(&config).token.as_deref(), Some("llmhub1.x"));
    }

    #[test]
    fn a_token_is_needed_until_the_node_has_joined() {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("[node]\ndata = {:?}\ntoken_file = \"/nowhere/token\"\n", folder.path());
        let error = settings(args(&[]), &file).unwrap_err().0;
        assert!(error.contains("/nowhere/token of token_file cannot be read"), "{error}");
        assert!(settings(args(&["--token", "@/nowhere/else"]), &file).is_err());
        std::fs::write(folder.path().join("node.json"), r#"{"id":1,"complete":false}"#).unwrap();
        assert!(settings(args(&[]), &file).is_err(), "its join was cut short");
        std::fs::write(folder.path().join("node.json"), r#"{"id":1,"complete":true}"#).unwrap();
        for more in [&[][..], &["--token", ""], &["--token", "@/nowhere/else"]] {
            assert_eq!(runtime(&settings(args(more), &file).unwrap()).token, None);
        }
    }

    #[test]
    fn an_empty_token_is_none() {
        assert_eq!(runtime(&settings(args(&["--token", ""]), "").unwrap()).token, None);
    }
}
