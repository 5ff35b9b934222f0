//! Calls that come as forms: sound to be written down. The bytes stay as they came; only the model's name is replaced in
//! its part where the target calls it otherwise.

use bytes::Bytes;
use http::HeaderValue;

use super::{BYTES_PER_TOKEN, Call, Error, MODEL_LEN_MAX, Operation};
use crate::multipart::{self, Part};

/// What is wrong with a transcription that is no form.
pub(super) const NO_FORM: &str =
    "must be multipart/form-data for a transcription: send the sound as the form's `file`";
/// Bytes of sound that count as a second in an estimate: 128 kbit/s, as MP3s commonly have.
const SOUND_BYTES_PER_S: u64 = 16_000;
/// Tokens of a second of sound, after Gemini's documentation.
const SOUND_TOKENS_PER_S: u64 = 32;

impl Call {
    /// Reads a client's body once, which is a form for [`Operation::Transcriptions`] and JSON for all others.
    /// `content_type` is the header as it came.
    ///
    /// # Errors
    /// As [`Call::parse`], and when the body is not what its content type says.
    pub fn parse_form(operation: Operation, content_type: &str, body: Bytes) -> Result<Self, Error> {
        let (kind, options) = content_type.split_once(';').unwrap_or((content_type, ""));
        let is_form = kind.trim().eq_ignore_ascii_case("multipart/form-data");
        match (operation, is_form) {
            (Operation::Transcriptions, true) => {}
            (Operation::Transcriptions, false) => return Err(Error::field("Content-Type", NO_FORM)),
            (_, true) => return Err(Error::field("Content-Type", "must be application/json here")),
            (_, false) => return Self::parse(operation, body),
        }
        let wrong = |_| Error::field("Content-Type", "has characters that a header cannot carry");
        let kind = HeaderValue::try_from(content_type).map_err(wrong)?;
        let parts = multipart::parts(options, &body)?;
        let missing = || Error::field("model", "is missing: name one that GET /v1/models lists");
        let named = single(&parts, "model")?.ok_or_else(missing)?;
        let model = named.text(&body)?;
        if model.is_empty() || model.len() > MODEL_LEN_MAX {
            return Err(Error::field("model", "must have 1 to 512 bytes"));
        }
        let file = single(&parts, "file")?.filter(|file| !file.at.is_empty());
        let file = file.ok_or(Error::field("file", "is missing: it is what the model writes down"))?;
        let stream = match single(&parts, "stream")?.map(|part| part.text(&body)).transpose()? {
            None => false,
            Some(word) => flag(&word).ok_or(Error::field("stream", "must be true or false"))?,
        };
        let aside_at = single(&parts, "prompt")?.map_or(0..0, |part| part.at.clone());
        let (model_at, question_at) = (named.at.clone(), file.at.clone());
        // What is written down depends on the sound alone; nobody can say how much that will be.
        let output_max = Some(0);
        let kind = Some(kind);
        Ok(Call { operation, model, stream, output_max, body, model_at, question_at, aside_at, kind })
    }

    /// The parts of its form; none where it is no form.
    ///
    /// # Errors
    /// As [`Call::parse_form`].
    pub(crate) fn parts(&self) -> Result<Vec<Part>, Error> {
        let Some(kind) = self.kind.as_ref().and_then(|kind| kind.to_str().ok()) else {
            return Ok(Vec::new());
        };
        multipart::parts(kind.split_once(';').map_or("", |(_, options)| options), &self.body)
    }

    /// Tokens of a sound and of what is said beside it, by their bytes: how long it is, only who decodes it knows.
    pub(super) fn sound_tokens(&self) -> u64 {
        let seconds = (self.question_at.len() as u64).div_ceil(SOUND_BYTES_PER_S);
        let aside = (self.aside_at.len() as u64).div_ceil(BYTES_PER_TOKEN);
        seconds.saturating_mul(SOUND_TOKENS_PER_S).saturating_add(aside)
    }

    /// Characters of what is to be spoken.
    pub(super) fn characters(&self) -> u64 {
        let raw = self.body.get(self.question_at.clone()).unwrap_or_default();
        // Every byte of UTF-8 but the continuing ones begins a character; two are the quotes.
        let count = raw.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        (count as u64).saturating_sub(2)
    }
}

/// The part of this name.
///
/// # Errors
/// When there are two: two readers could take different ones.
pub(crate) fn single<'a>(parts: &'a [Part], name: &str) -> Result<Option<&'a Part>, Error> {
    let mut found = parts.iter().filter(|part| part.name == name);
    let first = found.next();
    match found.next() {
        Some(_) => Err(Error::field(name.to_owned(), "was sent twice: send it once")),
        None => Ok(first),
    }
}

/// Yes or no as forms say it: some libraries write it as Python does.
fn flag(word: &str) -> Option<bool> {
    match word {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" | "" => Some(false),
        _ => None,
    }
}
