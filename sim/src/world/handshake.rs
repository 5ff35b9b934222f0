//! What stands for TLS on a stream between nodes: the dialler says who it is, what it wants to speak, whom it expects,
//! which authority signed for it and which ones it trusts; the other side says who it is, or that it refuses. The world vouches for both, since
//! only the node that was given an identity can say it.

use std::io;
use std::time::Duration;

use domain::NodeId;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::TcpStream;
use wire::net::{BoxIo, Identity, Inbound, Protocol};

/// How long the other side may take; as in production, where it is TLS's.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
const WELCOME: u8 = 1;
/// Stands for nobody: no node has this id.
const NOBODY: u64 = 0;
const PIN: usize = 32;
/// Authorities a node trusts at most: one, the one that follows it, and the one before.
const TRUSTED_MAX: usize = 3;
const GREETING_BYTES: usize = 1 + 8 + 8 + PIN + TRUSTED_MAX * PIN;

/// SHA-256 of the certificates of the authorities that an identity trusts; the first signed for it.
fn pins(identity: &Identity) -> Vec<[u8; PIN]> {
    identity.authorities.iter().take(TRUSTED_MAX).map(|ca| Sha256::digest(ca).into()).collect()
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason.to_owned())
}

/// The dialler's half, for a member. Fails unless the other side is `expect`.
pub(super) async fn dial(
    stream: TcpStream,
    me: &Identity,
    expect: NodeId,
    protocol: Protocol,
) -> io::Result<BoxIo> {
    greet(stream, me.node.0, expect.0, protocol, &pins(me)).await
}

/// The dialler's half, for a newcomer that knows only the CA's fingerprint.
pub(super) async fn dial_join(stream: TcpStream, ca_sha256: [u8; 32]) -> io::Result<BoxIo> {
    greet(stream, NOBODY, NOBODY, Protocol::Join, &[ca_sha256]).await
}

async fn greet(
    mut stream: TcpStream,
    me: u64,
    expect: u64,
    protocol: Protocol,
    trusted: &[[u8; PIN]],
) -> io::Result<BoxIo> {
    let mut greeting = Vec::with_capacity(GREETING_BYTES);
    greeting.push(number(protocol));
    greeting.extend_from_slice(&me.to_be_bytes());
    greeting.extend_from_slice(&expect.to_be_bytes());
    let signer = trusted.first().copied().unwrap_or_default();
    for pin in std::iter::once(&signer).chain(trusted) {
        greeting.extend_from_slice(pin);
    }
    greeting.resize(GREETING_BYTES, 0);
    stream.write_all(&greeting).await?;
    match stream.read_u8().await? {
        WELCOME => Ok(Box::new(stream)),
        _ => Err(refused("the other side is another node or belongs to another cluster")),
    }
}

/// The other half. `me` is who answers; before it has an identity everybody is refused.
pub(super) async fn answer(mut stream: TcpStream, me: Option<Identity>) -> io::Result<Inbound> {
    let mut greeting = [0; GREETING_BYTES];
    stream.read_exact(&mut greeting).await?;
    let me = me.ok_or_else(|| refused("this node has no identity yet"))?;
    let protocol = Protocol::ALL.into_iter().find(|p| number(*p) == greeting[0]);
    let protocol = protocol.ok_or_else(|| refused("no such protocol"))?;
    let id = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| greeting[at + i]));
    let (peer, expected) = (id(1), id(9));
    let mine = pins(&me);
    let mut theirs = greeting[17..].chunks_exact(PIN);
    let signed = theirs.next().is_some_and(|signer| mine.iter().any(|pin| pin == signer));
    let trusted = mine.first().is_some_and(|signer| theirs.any(|pin| pin == signer));
    // A newcomer has no certificate; it trusts the one authority that its token names.
    let right = trusted
        && (signed || protocol == Protocol::Join)
        && (expected == me.node.0 || protocol == Protocol::Join)
        && (peer == NOBODY) == (protocol == Protocol::Join);
    if !right {
        stream.write_u8(0).await?;
        return Err(refused("it expects another node or another cluster"));
    }
    stream.write_u8(WELCOME).await?;
    let peer = (peer != NOBODY).then_some(NodeId(peer));
    Ok(Inbound { peer, protocol, io: Box::new(stream) })
}

fn number(protocol: Protocol) -> u8 {
    Protocol::ALL.iter().position(|p| *p == protocol).map_or(0, |at| at as u8 + 1)
}
