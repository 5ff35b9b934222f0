//! Words out of speech.

use bytes::Bytes;

use crate::call::Error;
use crate::usage::Usage;

/// What is to be written down.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// The sound.
    pub file: Bytes,
    /// What the file is called.
    pub name: String,
    /// What the sound is: `audio/mpeg`; empty where nobody can tell.
    pub media_type: String,
    /// What is spoken, as `en`.
    pub language: Option<String>,
    /// What was said before, or words that will come.
    pub prompt: Option<String>,
    /// The form of the transcript.
    pub form: Form,
    /// How freely the model may hear.
    pub temperature: Option<f64>,
    /// Whether it is told when each word was said.
    pub words: bool,
    /// Whether it is told when each sentence or so was said.
    pub segments: bool,
    /// Whether the transcript comes in pieces.
    pub stream: bool,
    /// Fields that are none of these, by name.
    pub rest: Vec<String>,
}

impl Ask {
    /// Refuses by name what needs to know when something was said.
    pub(crate) fn refuse_times(&self, dialect: &str) -> Result<(), Error> {
        let field = match self.form {
            _ if self.words || self.segments => "timestamp_granularities[]",
            Form::Json | Form::Text => return Ok(()),
            Form::Verbose | Form::Srt | Form::Vtt => "response_format",
        };
        Err(Error::unsaid(field, dialect))
    }

    /// What the sound is.
    ///
    /// # Errors
    /// When neither the client says so nor the file's name.
    pub(crate) fn need_media_type(&self) -> Result<&str, Error> {
        let hint =
            "is of no known kind: give the file a name that ends in .mp3, .wav, .flac, .ogg, .m4a or .webm";
        if self.media_type.is_empty() { Err(Error::field("file", hint)) } else { Ok(&self.media_type) }
    }
}

/// The form of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// JSON with the text.
    #[default]
    Json,
    /// The text.
    Text,
    /// JSON with all that is known.
    Verbose,
    /// Subtitles as SubRip writes them.
    Srt,
    /// Subtitles as WebVTT.
    Vtt,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// All of it.
    pub text: String,
    /// What was spoken.
    pub language: Option<String>,
    /// How long the sound is, in seconds.
    pub duration_s: Option<f64>,
    /// Sentence by sentence or so, where that was wanted.
    pub segments: Vec<Segment>,
    /// Word by word, where that was wanted.
    pub words: Vec<Word>,
    /// What was used, where the provider tells.
    pub usage: Option<Usage>,
}

/// A sentence or so.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segment {
    /// What was said.
    pub text: String,
    /// When it begins, in seconds.
    pub start_s: f64,
    /// When it ends.
    pub end_s: f64,
    /// What else the provider tells of it, by OpenAI's names.
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Itself.
    pub text: String,
    /// When it begins, in seconds.
    pub start_s: f64,
    /// When it ends.
    pub end_s: f64,
}

/// What a sound is, by the end of its file's name.
pub(crate) fn media_type_of(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    Some(match end.to_ascii_lowercase().as_str() {
        "mp3" | "mpga" | "mpeg" => "audio/mpeg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "m4a" | "mp4" => "audio/mp4",
        "aac" => "audio/aac",
        "aiff" | "aif" => "audio/aiff",
        "amr" => "audio/amr",
        "webm" => "audio/webm",
        _ => return None,
    })
}
