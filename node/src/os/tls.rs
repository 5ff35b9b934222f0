//! TLS of the cluster port: who may speak with whom. Both sides show a certificate of the cluster's own CA; its DNS name
//! is the node's id. Only a newcomer, on the join protocol, shows none and trusts by the pinned digest of the CA instead.
//! `network` uses it. It never trusts the system's or the web's authorities, and never resumes a session, since a resumed
//! one would skip these checks.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use domain::NodeId;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use wire::net::{Identity, Protocol};
use x509_parser::extensions::GeneralName;

/// What follows the node's id in its certificate's DNS name.
const NAME_SUFFIX: &str = ".llmhub";

/// Named explicitly everywhere: another provider is compiled in as well, and rustls refuses to guess.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The TLS settings of a node that belongs to a cluster.
pub(crate) struct ClusterTls {
    /// For streams that come in.
    pub(crate) server: Arc<ServerConfig>,
    clients: BTreeMap<Protocol, Arc<ClientConfig>>,
}

impl ClusterTls {
    /// The settings of this identity.
    ///
    /// # Errors
    /// `InvalidData` where certificate or key cannot be used.
    pub(crate) fn new(identity: &Identity) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in &identity.authorities {
            roots.add(CertificateDer::from(authority.clone())).map_err(unusable)?;
        }
        let roots = Arc::new(roots);
        Ok(Self { server: Arc::new(server(identity, &roots)?), clients: clients(identity, &roots)? })
    }

    /// For dialling with this protocol; `None` for joining, which is done without an identity.
    pub(crate) fn client(&self, protocol: Protocol) -> Option<Arc<ClientConfig>> {
        self.clients.get(&protocol).cloned()
    }
}

fn server(identity: &Identity, roots: &Arc<RootCertStore>) -> io::Result<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
        // A newcomer has no certificate yet; `admit` refuses that for every other protocol.
        .allow_unauthenticated()
        .build()
        .map_err(unusable)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(identity), key(identity))
        .map_err(unusable)?;
    config.alpn_protocols = Protocol::ALL.iter().map(|protocol| protocol.alpn().to_vec()).collect();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn clients(
    identity: &Identity,
    roots: &Arc<RootCertStore>,
) -> io::Result<BTreeMap<Protocol, Arc<ClientConfig>>> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots.clone(), provider()).build().map_err(unusable)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain(identity), key(identity))
        .map_err(unusable)?;
    config.resumption = Resumption::disabled();
    let with = |protocol: Protocol| {
        let mut config = config.clone();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        (protocol, Arc::new(config))
    };
    Ok(Protocol::ALL.into_iter().filter(|protocol| *protocol != Protocol::Join).map(with).collect())
}

/// The settings of a newcomer who knows nothing but the digest of the CA's certificate.
///
/// # Errors
/// None in practice: the settings are the same for everyone.
pub(crate) fn join_client(ca_sha256: [u8; 32]) -> io::Result<ClientConfig> {
    let verifier = Arc::new(Pinned { ca_sha256, provider: provider() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![Protocol::Join.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The CA goes along with the certificate: a newcomer has only its digest.
fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    let issuer = identity.authorities.first().cloned();
    std::iter::once(identity.certificate.clone()).chain(issuer).map(CertificateDer::from).collect()
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(identity.key.clone()).into()
}

/// The name a node's certificate carries.
pub(crate) fn certificate_name(node: NodeId) -> String {
    format!("{node}{NAME_SUFFIX}")
}

/// The name as TLS wants it.
///
/// # Errors
/// None in practice: every node's name is a DNS name.
pub(crate) fn server_name(node: NodeId) -> io::Result<ServerName<'static>> {
    ServerName::try_from(certificate_name(node)).map_err(unusable)
}

/// Which node a verified certificate names.
fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    // One name and nothing else: a certificate that speaks for two nodes speaks for none.
    let [GeneralName::DNSName(name)] = names.value.general_names.as_slice() else { return None };
    let node = name.strip_suffix(NAME_SUFFIX)?.parse().ok()?;
    // Shorter spellings of an id parse too, but only the full one was signed for it.
    (certificate_name(node) == *name).then_some(node)
}

/// Who came in and what for, once the handshake is done; otherwise why it is refused.
///
/// # Errors
/// What the peer lacks.
pub(crate) fn admit(
    alpn: Option<&[u8]>,
    certificates: Option<&[CertificateDer<'_>]>,
) -> Result<(Option<NodeId>, Protocol), &'static str> {
    let protocol =
        Protocol::ALL.into_iter().find(|p| Some(p.alpn()) == alpn).ok_or("it asked for no protocol")?;
    if protocol == Protocol::Join {
        return Ok((None, protocol));
    }
    let certificate = certificates.and_then(|chain| chain.first()).ok_or("it showed no certificate")?;
    let node = node_of(certificate).ok_or("its certificate names no node")?;
    Ok((Some(node), protocol))
}

/// Tells a peer that does not know the protocol from others that refuse.
pub(crate) fn told(error: io::Error) -> io::Error {
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref());
    match alert {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            io::Error::new(io::ErrorKind::Unsupported, error)
        }
        _ => error,
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Trusts the one CA whose certificate has this digest, whatever node of the cluster answers.
#[derive(Debug)]
struct Pinned {
    ca_sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = |ca: &&CertificateDer<'_>| digest(&SHA256, ca).as_ref() == self.ca_sha256;
        let ca = intermediates
            .iter()
            .find(pinned)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms)?;
        node_of(end_entity).ok_or(Error::InvalidCertificate(CertificateError::NotValidForName))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
