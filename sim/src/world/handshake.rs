//! What stands for TLS on a stream between nodes: both sides show their certificates, and each looks at the other's as TLS
//! does, whether an authority that it trusts signed it, whether it is good by its own clock, and whom it names. Nothing is
//! encrypted, and that a node has the key of the certificate it shows is what the world vouches for.

use std::io;
use std::time::Duration;

use domain::{Millis, NodeId};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use turmoil::net::TcpStream;
use wire::net::{BoxIo, Identity, Inbound, Protocol};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::ASN1Time;

/// How long the other side may take; as in production, where it is TLS's.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
const WELCOME: u8 = 1;
const REFUSED: u8 = 0;
/// The largest certificate read, in bytes.
const CERTIFICATE_BYTES_MAX: u16 = 4096;
/// What follows the node's id in its certificate's name.
const NAME_SUFFIX: &str = ".llmhub";

/// What TLS says of a certificate that it does not trust.
fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// The dialler's half, for a member. Fails unless the other side is `expect`, and trusts this one.
pub(super) async fn dial(
    mut stream: TcpStream,
    me: &Identity,
    expect: NodeId,
    protocol: Protocol,
    now: Millis,
) -> io::Result<BoxIo> {
    let (certificate, _) = greet(&mut stream, protocol, &me.certificate).await?;
    if named(&certificate, &me.authorities, now) != Some(expect) {
        return Err(refused("the other side is another node or belongs to another cluster"));
    }
    stream.write_u8(WELCOME).await?;
    Ok(Box::new(stream))
}

/// The dialler's half, for a newcomer that knows only the CA's fingerprint.
pub(super) async fn dial_join(mut stream: TcpStream, ca_sha256: [u8; 32], now: Millis) -> io::Result<BoxIo> {
    let (certificate, issuer) = greet(&mut stream, Protocol::Join, &[]).await?;
    let pinned = Sha256::digest(&issuer)[..] == ca_sha256;
    if !pinned || named(&certificate, &[issuer], now).is_none() {
        return Err(refused("the other side does not belong to the token's cluster"));
    }
    stream.write_u8(WELCOME).await?;
    Ok(Box::new(stream))
}

/// Shows a certificate, and gives what the other side shows: its own and its authority's.
async fn greet(
    stream: &mut TcpStream,
    protocol: Protocol,
    certificate: &[u8],
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    stream.write_u8(number(protocol)).await?;
    show(stream, certificate).await?;
    match stream.read_u8().await? {
        WELCOME => Ok((look(stream).await?, look(stream).await?)),
        _ => Err(refused("the other side does not trust this node's certificate")),
    }
}

/// The other half. `me` is who answers; before it has an identity everybody is refused.
pub(super) async fn answer(mut stream: TcpStream, me: Option<Identity>, now: Millis) -> io::Result<Inbound> {
    let protocol = stream.read_u8().await?;
    let certificate = look(&mut stream).await?;
    let me = me.ok_or_else(|| refused("this node has no identity yet"))?;
    let protocol = Protocol::ALL.into_iter().find(|p| number(*p) == protocol);
    let protocol = protocol.ok_or_else(|| refused("no such protocol"))?;
    let peer = named(&certificate, &me.authorities, now);
    // A newcomer has no certificate yet.
    if peer.is_none() && protocol != Protocol::Join {
        stream.write_u8(REFUSED).await?;
        return Err(refused("its certificate is none that this node trusts"));
    }
    stream.write_u8(WELCOME).await?;
    show(&mut stream, &me.certificate).await?;
    show(&mut stream, me.authorities.first().map_or(&[], Vec::as_slice)).await?;
    // Whoever does not trust this node says nothing more.
    stream.read_u8().await?;
    let peer = peer.filter(|_| protocol != Protocol::Join);
    Ok(Inbound { peer, protocol, io: Box::new(stream) })
}

/// Which node a certificate names, if one of these authorities signed it and it is good now.
fn named(certificate: &[u8], authorities: &[Vec<u8>], now: Millis) -> Option<NodeId> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let at = ASN1Time::from_timestamp(i64::try_from(now / 1000).ok()?).ok()?;
    let signed = |authority: &Vec<u8>| {
        let authority = x509_parser::parse_x509_certificate(authority);
        authority.is_ok_and(|(_, ca)| parsed.verify_signature(Some(ca.public_key())).is_ok())
    };
    if !parsed.validity().is_valid_at(at) || !authorities.iter().any(signed) {
        return None;
    }
    let names = parsed.subject_alternative_name().ok()??;
    let [GeneralName::DNSName(name)] = names.value.general_names.as_slice() else { return None };
    name.strip_suffix(NAME_SUFFIX)?.parse().ok()
}

async fn show(stream: &mut (impl AsyncWrite + Unpin), certificate: &[u8]) -> io::Result<()> {
    let len = u16::try_from(certificate.len()).map_err(|_| refused("its certificate is too long"))?;
    stream.write_all(&[&len.to_be_bytes(), certificate].concat()).await
}

async fn look(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    if len > CERTIFICATE_BYTES_MAX {
        return Err(refused("its certificate is too long"));
    }
    let mut certificate = vec![0; usize::from(len)];
    stream.read_exact(&mut certificate).await?;
    Ok(certificate)
}

fn number(protocol: Protocol) -> u8 {
    Protocol::ALL.iter().position(|p| *p == protocol).map_or(0, |at| at as u8 + 1)
}
