//! TLS towards clients and servers outside the cluster: the node's own certificate by file, the web's authorities plus a
//! file of more. `listen` and `outward` use it; nothing of the cluster's own CA is known here.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::tls::provider;

/// What clients of the node's HTTP port are answered with.
///
/// # Errors
/// `InvalidInput` with the file that cannot be used and why.
pub(crate) fn server(cert_file: &Path, key_file: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain = certificates(cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| unusable(key_file, &e))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(cert_file, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| unusable(cert_file, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// How servers outside are checked: by the web's authorities and those in the file.
///
/// # Errors
/// `InvalidInput` with the file that cannot be used and why.
pub(crate) fn client(ca_file: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|e| unusable(path, &e))?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let chain = chain.map_err(|e| unusable(path, &e))?;
    if chain.is_empty() {
        return Err(unusable(path, &"it holds no certificate in PEM form"));
    }
    Ok(chain)
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} cannot be used for TLS: {reason}", path.display()),
    )
}
