//! What crosses a session: envelopes of bytes, each beginning with its version. A node answers a version it does not know
//! with a refusal that says so, never with silence.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// The topic that the doorway answers itself.
pub(super) const HEARTBEAT_TOPIC: &str = "";

/// A message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    /// The number its receiver gave to this session: proves who sends, since nobody else was told.
    pub(super) pass: u64,
    /// Which service.
    pub(super) topic: String,
    /// For the service.
    pub(super) body: Bytes,
}

/// An answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// From the service.
    Done(Bytes),
    /// The service, or the doorway, says no.
    Refused(String),
    /// Too much is being handled; it was not.
    Busy,
}

/// As bytes.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write(&mut bytes, value).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// From bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            rmp_serde::from_slice(rest).map_err(|error| format!("unreadable message: {error}"))
        }
        Some((version, _)) => Err(format!(
            "message of version {version}, this node speaks {VERSION}: run the same version on all nodes"
        )),
        None => Err("empty message".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_reads_back_and_another_version_is_named() {
        let envelope = Envelope { pass: 7, topic: "t".into(), body: Bytes::from_static(b"x") };
        let mut bytes = encode(&envelope).expect("encode");
        assert_eq!(decode::<Envelope>(&bytes).as_ref(), Ok(&envelope));
        bytes[0] = 9;
        assert!(decode::<Envelope>(&bytes).is_err_and(|reason| reason.contains("version 9")));
        assert!(decode::<Envelope>(&[]).is_err());
        assert!(decode::<Envelope>(&[1, 0xc1]).is_err());
    }
}
