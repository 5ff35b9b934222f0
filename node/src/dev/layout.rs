//! Where each node of a development cluster is: its name, zone, ports and folder, and what its user is told about it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::cli::args::DevArgs;
use crate::cli::failure::Failure;
use crate::config::LLAMA_PROGRAM;
use crate::data_dir;
use crate::os::listen;

/// From one node's port to the next one's.
const PORT_STEP: u16 = 10;
const HOST: &str = "127.0.0.1";
/// How much of a log's end is shown when a node does not start, in bytes.
const LAST_WORDS_BYTES: u64 = 2000;

/// One node's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: String,
    /// Its zone.
    pub(crate) zone: String,
    /// Its data directory, its log within.
    pub(crate) data: PathBuf,
    http_port: u16,
    cluster_port: u16,
}

/// The places of all nodes.
pub(crate) fn places(args: &DevArgs, data: &Path) -> Vec<Place> {
    let place = |number: u16| Place {
        name: format!("n{number}"),
        zone: format!("az{number}"),
        data: data.join(format!("n{number}")),
        http_port: args.http_port + PORT_STEP * (number - 1),
        cluster_port: args.cluster_port + PORT_STEP * (number - 1),
    };
    (1..=args.nodes).map(place).collect()
}

/// Tells a port in use before anything is started.
///
/// # Errors
/// Names the address and the option to change.
pub(crate) async fn check_ports(places: &[Place]) -> Result<(), Failure> {
    for place in places {
        listen::tcp(&place.http(), "--http-port").await?;
        listen::tcp_and_udp(&place.cluster(), "--cluster-port").await?;
    }
    Ok(())
}

impl Place {
    /// Where clients reach it.
    pub(crate) fn http(&self) -> String {
        format!("{HOST}:{}", self.http_port)
    }

    /// Where other nodes reach it.
    pub(crate) fn cluster(&self) -> String {
        format!("{HOST}:{}", self.cluster_port)
    }

    /// Where clients reach it, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http())
    }

    /// Its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("node.log")
    }

    /// Whether its data makes it a member of the cluster already.
    pub(crate) fn has_joined(&self) -> bool {
        data_dir::has_identity(&self.data)
    }

    /// Whether it was removed from the cluster.
    pub(crate) fn was_removed(&self) -> bool {
        data_dir::was_removed(&self.data)
    }

    /// The arguments of `llmhub` that run it.
    pub(crate) fn args(&self) -> Vec<String> {
        let data = self.data.display().to_string();
        let (http, cluster) = (self.http(), self.cluster());
        let args = [
            "node",
            "--name",
            &self.name,
            "--zone",
            &self.zone,
            "--data",
            &data,
            "--http",
            &http,
            "--cluster",
            &cluster,
            // On loopback, for one user: it may deploy what that user can read.
            "--model-root",
            "/",
            "--mock-provider",
        ];
        args.into_iter().map(str::to_owned).collect()
    }

    /// The line that starts it again in a shell that does not have the variables of this one.
    pub(crate) fn line(&self, environment: impl Fn(&str) -> Option<String>) -> String {
        let program =
            std::env::current_exe().map_or_else(|_| "llmhub".to_owned(), |path| path.display().to_string());
        let engine = environment(LLAMA_PROGRAM).filter(|engine| !engine.is_empty());
        let engine = engine.map(|engine| format!("{LLAMA_PROGRAM}={} ", quote(&engine))).unwrap_or_default();
        let words = std::iter::once(program).chain(self.args()).map(|word| quote(&word));
        let log = quote(&self.log().display().to_string());
        format!("{engine}{} 2>>{log}", words.collect::<Vec<_>>().join(" "))
    }

    /// What becomes of it once it was removed.
    pub(crate) fn farewell(&self) -> String {
        format!(
            "{} was removed from the cluster and is not started again: delete {} to have it join anew next time",
            self.name,
            quote(&self.data.display().to_string())
        )
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let read = || {
            let mut file = std::fs::File::open(self.log())?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS_BYTES)))?;
            let mut end = Vec::new();
            file.read_to_end(&mut end)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&end).trim_end().to_owned())
        };
        read().unwrap_or_default()
    }
}

/// A word as a shell reads it back.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What the user is told once all nodes are ready.
pub(crate) fn welcome(places: &[Place], key_file: &Path, key: &str) -> String {
    let mut text = String::from("\nthe cluster is ready:\n");
    for place in places {
        text.push_str(&format!(
            "  {}  {}  {}  log: {}\n",
            place.name,
            place.zone,
            place.url(),
            place.log().display()
        ));
    }
    let file = quote(&key_file.display().to_string());
    let url = places.first().map(Place::url).unwrap_or_default();
    text.push_str(&format!("admin key: {key}\n  (kept in {file})\n\ntry:\n"));
    text.push_str(&format!(
        "  curl {url}/v1/chat/completions -H \"Authorization: Bearer $(cat {file})\" -H 'Content-Type: application/json' \
         -d '{{\"model\":\"mock\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n"
    ));
    text.push_str(&format!("  LLMHUB_URL={url} LLMHUB_KEY=@{file} llmhub status\n\nCtrl-C stops all nodes"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(folder: &Path) -> Vec<Place> {
        let args = DevArgs { nodes: 2, data: folder.to_owned(), http_port: 6602, cluster_port: 7602 };
        places(&args, folder)
    }

    #[test]
    fn nodes_are_ten_ports_apart_and_in_zones_of_their_own() {
        let places = two(Path::new("/d"));
        assert_eq!(
            places[1].args().join(" "),
            "node --name n2 --zone az2 --data /d/n2 --http 127.0.0.1:6612 --cluster 127.0.0.1:7612 --model-root / --mock-provider"
        );
        let words: Vec<String> = places[1].args();
        assert_eq!(
            crate::cli::args::node_args(&words[1..].iter().map(String::as_str).collect::<Vec<_>>())
                .name
                .as_deref(),
            Some("n2")
        );
    }

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        assert_eq!(quote("/a/b-c"), "/a/b-c");
        assert_eq!(quote("it's here"), r"'it'\''s here'");
        let text = welcome(&two(Path::new("/my data")), Path::new("/my data/admin.key"), "sk-x");
        assert!(text.contains("$(cat '/my data/admin.key')"), "{text}");
    }

    #[test]
    fn a_node_is_started_again_with_the_engine_it_had() {
        let place = &two(Path::new("/d"))[0];
        let line = place.line(|name| (name == LLAMA_PROGRAM).then(|| "/my engines/llama-server".to_owned()));
        assert!(line.starts_with("LLMHUB_ENGINE_LLAMA_SERVER='/my engines/llama-server' /"), "{line}");
        assert!(line.ends_with("--mock-provider 2>>/d/n1/node.log"), "{line}");
        assert!(place.line(|_| None).starts_with('/'));
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_before_anything_starts() {
        let taken = listen::tcp("127.0.0.1:0", "--http").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let args = DevArgs { nodes: 1, data: PathBuf::new(), http_port: port, cluster_port: 1 };
        let failure = check_ports(&places(&args, Path::new("/d"))).await.unwrap_err();
        assert!(failure.to_string().contains("in use: choose another with --http-port"), "{failure}");
    }
}
