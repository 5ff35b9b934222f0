//! DashScope's speech: events with base64 in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use serde_json::Value;

use super::{answer, errors};
use crate::dialect::Refusal;
use crate::frames::Sse;
use crate::media::speech::Sounds;
use crate::usage::Usage;

/// Numbers a second of its speech.
const RATE: u32 = 24_000;
/// A WAV file begins so; where one was asked for and this is not there, it is bare numbers.
const HEAD: &[u8] = b"RIFF";

/// Reads events.
#[derive(Default)]
pub(super) struct Pieces {
    sse: Sse,
    state: State,
}

#[derive(Default)]
struct State {
    usage: Option<Usage>,
    ended: bool,
    heard: bool,
    headed: bool,
    failed: Option<Refusal>,
}

impl Sounds for Pieces {
    fn push(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Refusal> {
        let Self { sse, state } = self;
        sse.push(bytes, |_, data| {
            if state.failed.is_none()
                && let Err(refusal) = state.event(data, out)
            {
                state.failed = Some(refusal);
            }
        });
        state.failed.clone().map_or(Ok(()), Err)
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<Option<Usage>, Refusal> {
        // The last event may lack its end.
        self.push(b"\n\n", out)?;
        match (self.state.ended, self.state.heard) {
            (false, _) => Err(Refusal::nonsense("it ends before it says so")),
            (true, false) => Err(Refusal::nonsense("there is no sound in it")),
            (true, true) => Ok(self.state.usage),
        }
    }

    fn bare_rate(&self) -> Option<u32> {
        (self.state.heard && !self.state.headed).then_some(RATE)
    }
}

impl State {
    fn event(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), Refusal> {
        if data.is_empty() {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data)
            .map_err(|error| Refusal::nonsense(&format!("an event is no JSON: {error}")))?;
        if let Some(refusal) = errors::told(&value, None) {
            return Err(refusal);
        }
        let output = &value["output"];
        // The last event may hold the address of the whole, and nothing to hear.
        let sound = output["audio"]["data"].as_str().filter(|data| !data.is_empty());
        if let Some(data) = sound {
            let sound = STANDARD.decode(data).map_err(|_| Refusal::nonsense("its sound is no base64"))?;
            if !std::mem::replace(&mut self.heard, true) {
                self.headed = sound.starts_with(HEAD);
            }
            out.extend_from_slice(&sound);
        }
        self.ended |= answer::reason(&output["finish_reason"]).is_some();
        self.usage = answer::usage(&value["usage"]).or(self.usage);
        Ok(())
    }
}
