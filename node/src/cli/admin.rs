//! Commands that need no running node: checking a configuration, repairing a stopped node, serving the mock engine.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::args::{MockEngineArgs, NodeArgs};
use super::failure::Failure;
use crate::config::{self, Loaded};
use crate::data_dir::DataDir;
use crate::os::entropy::OsEntropy;
use crate::os::files::OsFiles;
use crate::os::{http_tls, listen};

/// Connections of the mock engine at most.
const MOCK_CONNECTIONS_MAX: usize = 1024;

/// `llmhub config check`: everything that can be told without starting a node, the files that it names among it.
///
/// # Errors
/// Names the file and, where one is to blame, the line.
pub(crate) fn check(file: &Path, json: bool) -> Result<(), Failure> {
    let checked = checked(file);
    if json {
        let said = match &checked {
            Ok(warnings) => json!({ "file": file, "good": true, "warnings": warnings }),
            Err(failure) => json!({ "file": file, "good": false, "error": failure.to_string() }),
        };
        super::print_json(&said)?;
        return checked.map(|_| ());
    }
    for warning in checked? {
        eprintln!("warning: {warning}");
    }
    super::print(&format!("{} is good\n", file.display()))
}

/// What is allowed but better done otherwise.
fn checked(file: &Path) -> Result<Vec<String>, Failure> {
    let loaded = Loaded::read(file)?;
    let mut warnings = loaded.warnings();
    let listen = config::resolve(NodeArgs::default(), loaded, |_| None)?.listen;
    let named = |e: std::io::Error| Failure::Usage(format!("{}: {e}", file.display()));
    if let Some((cert, key)) = &listen.http_tls {
        http_tls::server(cert, key).map_err(named)?;
        if is_authority(cert) {
            let cert = cert.display();
            warnings.push(format!(
                "{cert} is an authority's own certificate (CA:TRUE), which many clients refuse from a server: use one \
                 that it signed, or a self-signed one with CA:FALSE"
            ));
        }
    }
    http_tls::client(listen.ca_file.as_deref()).map_err(named)?;
    Ok(warnings)
}

/// Whether the certificate that a server would show is one for signing others.
fn is_authority(cert: &Path) -> bool {
    let Ok(first) = CertificateDer::from_pem_file(cert) else { return false };
    x509_parser::parse_x509_certificate(&first).is_ok_and(|(_, parsed)| parsed.is_ca())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_looks_into_the_files_that_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let pair = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let cert = write("tls.crt", &params.self_signed(&pair).unwrap().pem());
        let key = write("tls.key", &pair.serialize_pem());
        let other = write("other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
        let node = |key: &Path| format!("[node]\nname = \"a\"\ntls_cert = {cert:?}\ntls_key = {key:?}\n");
        assert!(checked(&write("good.toml", &node(&key))).unwrap().is_empty());
        let mut params = params;
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        write("tls.crt", &params.self_signed(&pair).unwrap().pem());
        let warnings = checked(&write("good.toml", &node(&key))).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("CA:TRUE"), "{warnings:?}");
        for (text, told) in [
            (node(&other), "tls.crt cannot be used for TLS"),
            (node(&folder.path().join("none.key")), "none.key cannot be used for TLS"),
            (format!("[node]\nname = \"a\"\nca_file = {key:?}\n"), "tls.key cannot be used for TLS"),
        ] {
            let failure = checked(&write("bad.toml", &text)).unwrap_err();
            assert!(failure.code() == 2 && failure.to_string().contains(told), "{failure}");
        }
    }
}
