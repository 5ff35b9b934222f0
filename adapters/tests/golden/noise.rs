//! What no provider should send: decoders must read it without panicking, the same however it is cut.

use adapters::chat::Event;
use adapters::dialect::Dialect;
use bytes::BytesMut;
use http::HeaderMap;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness;

fn decode<'a>(dialect: &dyn Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let (mut decoder, mut events) = (dialect.decoder(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut events);
    }
    decoder.finish(&mut events);
    events
}

/// Puts random bytes, and recorded answers with a few bytes changed, to everything that reads what a provider sends.
pub(crate) fn survived(dialect: &dyn Dialect, name: &str) {
    let mut recorded: Vec<Vec<u8>> = Vec::new();
    for ending in [".stream", ".answer.json"] {
        recorded.extend(harness::files(name, ending).iter().map(|path| harness::read(path)));
    }
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8);
    let changed = (prop::sample::select(recorded), changes).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    let random = prop::collection::vec(any::<u8>(), 0..512);
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let cut = any::<prop::sample::Index>();
    let told = runner.run(&(prop_oneof![random, changed], cut), |(bytes, cut)| {
        let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(decode(dialect, [bytes.as_slice()]), decode(dialect, [left, right]));
        let _ = dialect.decode(&bytes);
        let _ = dialect.embedded(&bytes);
        let _ = dialect.exchanged(&bytes);
        media(dialect, &bytes);
        let _ = dialect.usage(&bytes);
        let _ = dialect.classify(200, &HeaderMap::new(), &bytes);
        Ok(())
    });
    if let Err(error) = told {
        panic!("{name}: {error}");
    }
}

/// The same to what reads pictures, speech and the like.
pub(crate) fn media(dialect: &dyn Dialect, bytes: &[u8]) {
    let Some(media) = dialect.media() else { return };
    let _ = media.drawn(bytes);
    let _ = media.transcribed(bytes);
    let _ = media.moderated(bytes);
    let _ = media.reranked(bytes);
    let (mut sounds, mut out) = (media.sounds(&Default::default()), BytesMut::new());
    let _ = sounds.push(bytes, &mut out);
    let _ = sounds.finish(&mut out);
}
