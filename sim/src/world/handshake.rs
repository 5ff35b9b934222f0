//! What stands for TLS on a stream between nodes: the dialler says who it is, what it wants to speak, whom it expects and
//! which cluster's CA it trusts; the other side says who it is, or that it refuses. The world vouches for both, since
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
const GREETING_BYTES: usize = 1 + 8 + 8 + 32;

/// SHA-256 of an identity's CA certificate.
fn pin(identity: &Identity) -> [u8; 32] {
    Sha256::digest(&identity.ca).into()
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
    greet(stream, me.node.0, expect.0, protocol, pin(me)).await
}

/// The dialler's half, for a newcomer that knows only the CA's fingerprint.
pub(super) async fn dial_join(stream: TcpStream, ca_sha256: [u8; 32]) -> io::Result<BoxIo> {
    greet(stream, NOBODY, NOBODY, Protocol::Join, ca_sha256).await
}

async fn greet(
    mut stream: TcpStream,
    me: u64,
    expect: u64,
    protocol: Protocol,
    ca: [u8; 32],
) -> io::Result<BoxIo> {
    let mut greeting = Vec::with_capacity(GREETING_BYTES);
    greeting.push(number(protocol));
    greeting.extend_from_slice(&me.to_be_bytes());
    greeting.extend_from_slice(&expect.to_be_bytes());
    greeting.extend_from_slice(&ca);
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
    let right = greeting[17..] == pin(&me)
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
