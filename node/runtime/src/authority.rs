//! The cluster's own certificate authority: made at bootstrap, its key sealed in metadata, used by nodes that hold the
//! data key to sign newcomers and to renew members' certificates. Ed25519 throughout, so that nothing but the seed decides
//! what is signed. The authority's own certificate carries no useful expiry; it is replaced on an operator's word.

use domain::{Millis, NodeId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;

/// PKCS#8 (version 1) around a 32-byte Ed25519 seed, RFC 8410 section 7.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An Ed25519 private key in PKCS#8, DER.
pub fn pkcs8(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(48));
    der.extend_from_slice(&PKCS8_PREFIX);
    der.extend_from_slice(seed);
    der
}

/// The DNS name a node's certificate carries, by which its peers know it.
pub fn certificate_name(node: NodeId) -> String {
    format!("{node}.llmhub")
}

/// SHA-256 of a certificate: what join tokens pin and rows remember.
pub fn fingerprint(certificate_der: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate_der).into()
}

/// What tells certificates for the same key apart.
pub struct Term {
    /// Until when it is good.
    pub not_after: Millis,
    /// Its number; without one it is made from the key, so that the same request is always signed the same way.
    pub serial: Option<[u8; 16]>,
}

impl Term {
    /// A first certificate's, signed now.
    pub fn first(now: Millis) -> Self {
        Self { not_after: lifetime(now), serial: None }
    }
}

/// A certificate authority that can sign.
pub struct Authority {
    key_der: Zeroizing<Vec<u8>>,
    certificate: Vec<u8>,
}

impl Authority {
    /// Makes a new authority from a seed.
    pub fn create(seed: &[u8; 32]) -> Result<Self, Error> {
        let key_der = pkcs8(seed);
        let key = key_pair(&key_der)?;
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(bad)?;
        params.distinguished_name.push(DnType::CommonName, "llmhub cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(bad)?.der().to_vec();
        Ok(Self { key_der, certificate })
    }

    /// The authority again, from its key and certificate.
    pub fn open(key_der: Zeroizing<Vec<u8>>, certificate: Vec<u8>) -> Self {
        Self { key_der, certificate }
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its private key, PKCS#8 DER: to be sealed, never written.
    pub fn key(&self) -> &[u8] {
        &self.key_der
    }

    /// Signs a node's request. Only its public key is taken from the request (whose own signature is checked); the name
    /// is the node's id, whatever was asked for.
    pub fn sign(&self, node: NodeId, request_der: &[u8], term: &Term) -> Result<Vec<u8>, Error> {
        let der = CertificateSigningRequestDer::from(request_der);
        let mut request = CertificateSigningRequestParams::from_der(&der).map_err(bad)?;
        request.params = node_params(node)?;
        let seconds = i64::try_from(term.not_after / 1000).map_err(bad)?;
        request.params.not_after = time::OffsetDateTime::from_unix_timestamp(seconds).map_err(bad)?;
        request.params.serial_number = term.serial.map(|serial| SerialNumber::from_slice(&serial));
        let key = key_pair(&self.key_der)?;
        let ca = CertificateDer::from(self.certificate.as_slice());
        let issuer = Issuer::from_ca_cert_der(&ca, &key).map_err(bad)?;
        Ok(request.signed_by(&issuer).map_err(bad)?.der().to_vec())
    }
}

const DAY_MS: Millis = 24 * 60 * 60 * 1000;
/// Ends of certificates are multiples of this: the same request is signed the same way for a while.
pub(crate) const QUANTUM_MS: Millis = 60 * DAY_MS;
/// A certificate that is good for less is renewed.
const LEFT_MS_MIN: Millis = 45 * DAY_MS;
/// And so is one that is good for more, as all were that older versions signed.
const LEFT_MS_MAX: Millis = 400 * DAY_MS;

/// Until when a first certificate is good that is signed now: 60 to 120 days.
fn lifetime(now: Millis) -> Millis {
    (now / QUANTUM_MS + 2) * QUANTUM_MS
}

/// Until when a renewed certificate is good.
pub(crate) fn renewed_until(now: Millis) -> Millis {
    now + 90 * DAY_MS
}

/// Whether a certificate that is good until then is to be renewed.
pub(crate) fn is_due(not_after: Millis, now: Millis) -> bool {
    let left = not_after.saturating_sub(now);
    !(LEFT_MS_MIN..LEFT_MS_MAX).contains(&left)
}

/// Until when a certificate is good.
pub(crate) fn not_after(certificate_der: &[u8]) -> Result<Millis, Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate_der).map_err(bad)?;
    Ok(Millis::try_from(parsed.validity().not_after.timestamp()).map_err(bad)? * 1000)
}

/// A request for a certificate, made by the node that holds the key (PKCS#8 DER).
pub fn request(node: NodeId, key_der: &[u8]) -> Result<Vec<u8>, Error> {
    let key = key_pair(key_der)?;
    Ok(node_params(node)?.serialize_request(&key).map_err(bad)?.der().to_vec())
}

fn node_params(node: NodeId) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec![certificate_name(node)]).map_err(bad)?;
    params.distinguished_name.push(DnType::CommonName, node.to_string());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn key_pair(der: &[u8]) -> Result<KeyPair, Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &rcgen::PKCS_ED25519).map_err(bad)
}

fn bad(error: impl std::fmt::Display) -> Error {
    Error::Certificate(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_certificates() {
        let ca = Authority::create(&[7; 32]).unwrap();
        assert_eq!(ca.certificate(), Authority::create(&[7; 32]).unwrap().certificate());
        let request = request(NodeId(5), &pkcs8(&[9; 32])).unwrap();
        let reopened = Authority::open(Zeroizing::new(ca.key().to_vec()), ca.certificate().to_vec());
        let first = Term::first(DAY_MS);
        let certificate = ca.sign(NodeId(5), &request, &first).unwrap();
        assert_eq!(certificate, reopened.sign(NodeId(5), &request, &first).unwrap());
        assert_eq!(not_after(&certificate).unwrap(), first.not_after);
        let again = Term { serial: Some([7; 16]), ..first };
        assert_ne!(certificate, ca.sign(NodeId(5), &request, &again).unwrap());
    }

    #[test]
    fn a_damaged_request_is_not_signed() {
        let ca = Authority::create(&[7; 32]).unwrap();
        let mut request = request(NodeId(5), &pkcs8(&[9; 32])).unwrap();
        let last = request.len() - 1;
        request[last] ^= 1;
        assert!(ca.sign(NodeId(5), &request, &Term::first(0)).is_err());
    }

    #[test]
    fn a_certificate_is_renewed_well_before_its_end_and_a_new_one_is_not() {
        for now in (0..400).map(|day| day * DAY_MS) {
            assert!(!is_due(lifetime(now), now) && !is_due(renewed_until(now), now), "{now}");
            assert!(is_due(now + 44 * DAY_MS, now) && is_due(now + 9_000 * DAY_MS, now) && is_due(0, now));
        }
    }
}
