//! Why a node cannot be reached, in words that say what to do: TLS says no more than the name of what it did not like.

use std::io;

use rustls::{CertificateError, Error, InvalidMessage};
use url::Url;

/// What is wrong with the connection to the node at this address.
pub(super) fn words(base: &Url, error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(error) => format!("the node at {base} is not trusted: {}", distrust(base, error)),
        None => format!(
            "no node answers at {base} ({error}): is it running? name another with --url or LLMHUB_URL"
        ),
    }
}

fn distrust(base: &Url, error: &Error) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    match error {
        Error::InvalidCertificate(UnknownIssuer) => {
            "no authority known here signed its certificate: name the file of the one that did with --ca-file"
                .to_owned()
        }
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => format!(
            "its certificate is not for `{}`: write the name that it is for in --url, or give the node a certificate \
             for this one",
            base.host_str().unwrap_or_default()
        ),
        Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => "its certificate is out of date, or this machine's clock is wrong: renew the certificate".to_owned(),
        Error::InvalidCertificate(CertificateError::Other(other)) if is_authority(&other.0.to_string()) => {
            "its certificate is an authority's own (CA:TRUE, what `openssl req -x509` makes by itself), which no \
             server may show: give the node a certificate signed by that authority, or a self-signed one with \
             `-addext basicConstraints=critical,CA:FALSE`, and name the authority's, or that one's, file with --ca-file"
                .to_owned()
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS: write http:// in --url, or give the node a certificate".to_owned()
        }
        error => format!("{error}; check its certificate and --ca-file"),
    }
}

/// What the verifier says of a server that shows a certificate meant for signing others.
fn is_authority(said: &str) -> bool {
    said.contains("CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use tokio::net::TcpListener;

    use super::super::api::Api;
    use super::super::target::Access;
    use crate::os::http_tls;

    /// What a client that trusts this certificate says of a server that shows it.
    async fn said(is_ca: IsCa, trusted: bool, host: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = Access { ca_file: trusted.then_some(cert.clone()), ..Access::default() };
        let api = Api::at(Some(&format!("https://{host}:{port}")), &access).unwrap();
        let served = serve(&listener, &cert, &key);
        let (_, answer) = tokio::join!(served, api.call(http::Method::GET, "/health", None));
        answer.unwrap_err().to_string()
    }

    async fn serve(listener: &TcpListener, cert: &Path, key: &Path) {
        let acceptor = tokio_rustls::TlsAcceptor::from(http_tls::server(cert, key).unwrap());
        // The handshake is what is looked at: the connection is dropped behind it.
        let _ = acceptor.accept(listener.accept().await.unwrap().0).await;
    }

    #[tokio::test]
    async fn a_certificate_of_an_authority_is_explained() {
        let told = said(IsCa::Ca(BasicConstraints::Unconstrained), true, "localhost").await;
        assert!(told.contains("CA:TRUE") && told.contains("--ca-file"), "{told}");
    }

    #[tokio::test]
    async fn a_certificate_nobody_vouches_for_is_explained_and_one_that_is_trusted_passes() {
        let told = said(IsCa::ExplicitNoCa, false, "localhost").await;
        assert!(told.contains("name the file of the one that did with --ca-file"), "{told}");
        let told = said(IsCa::ExplicitNoCa, true, "localhost").await;
        assert!(told.contains("no node answers"), "the handshake was good: {told}");
        let told = said(IsCa::ExplicitNoCa, true, "127.0.0.1").await;
        assert!(told.contains("is not for `127.0.0.1`"), "{told}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_explained() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let api = Api::open(&url, None).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(api.call(http::Method::GET, "/health", None), serve);
        let told = answer.unwrap_err().to_string();
        assert!(told.contains("it does not speak TLS: write http://"), "{told}");
    }
}
