//! Join tokens and API keys as text: how they are made, and how a token is read back. Only hashes go into metadata.

use std::sync::Arc;

use actors::ports::Entropy;
use domain::TokenId;
use sha2::{Digest, Sha256};

use crate::authority::fingerprint;
use crate::error::Error;
use crate::keeper::Badge;

const TOKEN_PREFIX: &str = "llmhub1";

/// A join token as a newcomer holds it.
pub struct JoinToken {
    /// Its id.
    pub id: TokenId,
    /// Its secret part.
    pub secret: [u8; 32],
    /// SHA-256 of the cluster's CA certificate.
    pub ca_sha256: [u8; 32],
}

impl JoinToken {
    /// Reads a token's text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.trim().split('.');
        if parts.next() != Some(TOKEN_PREFIX) {
            return Err(Error::BadToken("it should start with `llmhub1.`"));
        }
        let id = parts.next().and_then(|p| u64::from_str_radix(p, 16).ok());
        let id = TokenId(id.ok_or(Error::BadToken("its second part should be an id"))?);
        let (mut secret, mut ca_sha256) = ([0; 32], [0; 32]);
        for (what, out) in [
            ("its third part should be 64 hexadecimal digits", &mut secret),
            ("its fourth part should be 64 hexadecimal digits", &mut ca_sha256),
        ] {
            let text = parts.next().ok_or(Error::BadToken(what))?;
            hex::decode_to_slice(text, out).map_err(|_| Error::BadToken(what))?;
        }
        if parts.next().is_some() {
            return Err(Error::BadToken("it has too many parts"));
        }
        Ok(Self { id, secret, ca_sha256 })
    }

    /// Its text, to be shown once.
    pub fn text(&self) -> String {
        let (secret, ca) = (hex::encode(self.secret), hex::encode(self.ca_sha256));
        format!("{TOKEN_PREFIX}.{:x}.{secret}.{ca}", self.id.0)
    }

    /// What metadata keeps of it.
    pub fn hash(&self) -> Vec<u8> {
        token_hash(&self.secret)
    }
}

/// What metadata keeps of a join token's secret part.
pub(crate) fn token_hash(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// A new API key's text.
pub fn draw_api_key(entropy: &dyn Entropy) -> String {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    format!("sk-llmhub-{}", hex::encode(secret))
}

/// What metadata keeps of an API key.
pub fn api_key_hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// How many characters of an API key's text are kept to recognise it by.
pub const API_KEY_PREFIX_LEN: usize = 16;

/// Makes join tokens that pin this cluster's CA.
pub(crate) struct Mint {
    /// Where the CA's certificate is found.
    pub(crate) badge: Badge,
    /// Chance.
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl gateway::TokenMint for Mint {
    fn mint(&self) -> gateway::Minted {
        let mut secret = [0; 32];
        self.entropy.fill(&mut secret);
        let ca_sha256 = fingerprint(self.badge.get().issuer());
        let token = JoinToken { id: TokenId(self.entropy.draw()), secret, ca_sha256 };
        gateway::Minted { id: token.id, text: token.text(), hash: token.hash() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_broken_one_says_what_is_wrong() {
        let token = JoinToken { id: TokenId(0xabc), secret: [1; 32], ca_sha256: [2; 32] };
        let read = JoinToken::parse(&format!(" {}\n", token.text())).unwrap();
        assert_eq!((read.id, read.secret, read.ca_sha256), (token.id, token.secret, token.ca_sha256));
        for bad in ["", "x.y", "llmhub1.zz.00.00", "llmhub1.1.00.00", &format!("{}.x", token.text())] {
            assert!(JoinToken::parse(bad).is_err(), "{bad}");
        }
    }
}
