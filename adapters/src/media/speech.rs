//! Speech out of words. The answer is sound, which comes in pieces.

use bytes::BytesMut;

use crate::dialect::Refusal;
use crate::usage::Usage;

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// The words.
    pub input: String,
    /// Who speaks, by the provider's name of the voice.
    pub voice: String,
    /// The format of the sound; `None` leaves that to the provider.
    pub format: Option<Format>,
    /// How fast; 1 is usual.
    pub speed: Option<f64>,
    /// How it is to be said, in words.
    pub instructions: Option<String>,
    /// Whether the sound comes as events with base64 in them.
    pub events: bool,
    /// Fields that are none of these, by path.
    pub rest: Vec<String>,
}

/// A format of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// MP3.
    Mp3,
    /// Opus in Ogg.
    Opus,
    /// AAC.
    Aac,
    /// FLAC.
    Flac,
    /// WAV.
    Wav,
    /// Numbers of 16 bits, little-endian, one channel.
    Pcm,
}

impl Format {
    /// All of them.
    pub const ALL: &[Format] =
        &[Format::Mp3, Format::Opus, Format::Aac, Format::Flac, Format::Wav, Format::Pcm];

    /// OpenAI's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Mp3 => "mp3",
            Format::Opus => "opus",
            Format::Aac => "aac",
            Format::Flac => "flac",
            Format::Wav => "wav",
            Format::Pcm => "pcm",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Mp3 => "audio/mpeg",
            Format::Opus => "audio/ogg",
            Format::Aac => "audio/aac",
            Format::Flac => "audio/flac",
            Format::Wav => "audio/wav",
            Format::Pcm => "audio/pcm",
        }
    }
}

/// Reads sound out of a provider's answer, however that is cut.
pub trait Sounds: Send {
    /// Takes the next bytes; appends the sound in them.
    ///
    /// # Errors
    /// When they tell an error, or make no sense.
    fn push(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Refusal>;

    /// The answer ended in order. Appends what is still to be heard; tells what was used.
    ///
    /// # Errors
    /// When the answer is not complete, or an error.
    fn finish(&mut self, out: &mut BytesMut) -> Result<Option<Usage>, Refusal>;

    /// How many numbers a second has, where the sound is bare numbers of 16 bits and one channel. Known once there is sound.
    fn bare_rate(&self) -> Option<u32> {
        None
    }
}

/// The answer is the sound.
pub struct AsItIs;

impl Sounds for AsItIs {
    fn push(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Refusal> {
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self, _: &mut BytesMut) -> Result<Option<Usage>, Refusal> {
        Ok(None)
    }
}
