//! Gemini's pictures, speech and transcripts: all but Imagen's are answers of `generateContent`, asked for by modality.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use serde_json::{Value, json};

use super::classify::{classify, read_error};
use super::stream::{decode, usage};
use super::{Gemini, NAME, path_of};
use crate::call::{Error, HttpRequest, Target};
use crate::dialect::Refusal;
use crate::failure::FailureKind;
use crate::media::speech::{Format, Sounds};
use crate::media::{Media, images, json as read_json, speech, transcribe};
use crate::usage::Usage;

/// Proportions that pictures may have.
const RATIOS: &[(u64, u64)] =
    &[(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9)];
/// Numbers a second of its speech, where it does not say.
const RATE: u32 = 24_000;
/// The most bytes of an answer with speech that are kept until it is whole: eleven minutes and more.
const SPEECH_LEN_MAX: usize = 64 * 1024 * 1024;
/// What it is told to do with sound.
const WRITE_DOWN: &str = "Write down what is said in this recording, word for word, in the language that is spoken. \
    Answer with the transcript alone.";

impl Media for Gemini {
    fn draw(&self, ask: &images::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        let unsaid = ["quality", "style", "background", "output_format"];
        ask.refuse(&unsaid, images::Delivery::Base64, NAME)?;
        let (ratio, resolution) = proportions(ask)?;
        let mut shape = serde_json::Map::new();
        if let Some(ratio) = ratio {
            shape.insert("aspectRatio".to_owned(), ratio.into());
        }
        if let Some(resolution) = resolution {
            shape.insert("imageSize".to_owned(), resolution.into());
        }
        if is_imagen(model) {
            shape.insert("sampleCount".to_owned(), ask.count.unwrap_or(1).into());
            let body = json!({ "instances": [{ "prompt": ask.prompt }], "parameters": shape });
            return self.ask(model, "predict", &body, target);
        }
        // It draws one picture at a time.
        ask.refuse(&["n"], images::Delivery::Base64, NAME)?;
        let mut config = json!({ "responseModalities": ["TEXT", "IMAGE"] });
        if !shape.is_empty() {
            config["imageConfig"] = shape.into();
        }
        let contents = json!([{ "role": "user", "parts": [{ "text": ask.prompt }] }]);
        let body = json!({ "contents": contents, "generationConfig": config });
        self.ask(model, "generateContent", &body, target)
    }

    fn drawn(&self, body: &[u8]) -> Result<images::Answer, Refusal> {
        let value = read(body)?;
        let image = |data: &str| images::Image { data: images::Data::Base64(data.to_owned()), revised: None };
        if let Some(predictions) = value["predictions"].as_array() {
            let images = predictions.iter().filter_map(|one| one["bytesBase64Encoded"].as_str().map(image));
            let images: Vec<_> = images.collect();
            let reason = predictions.iter().find_map(|one| one["raiFilteredReason"].as_str());
            if let (true, Some(reason)) = (images.is_empty(), reason) {
                return Err(kept_back(reason));
            }
            return Ok(images::Answer { images, ..images::Answer::default() });
        }
        let images: Vec<_> = parts(&value)?
            .filter(|part| part["thought"].as_bool() != Some(true))
            .filter_map(|part| part["inlineData"]["data"].as_str().map(image))
            .collect();
        if images.is_empty() {
            return Err(nothing(&value, "IMAGE"));
        }
        Ok(images::Answer { created: None, images, usage: usage(&value) })
    }

    fn speak(&self, ask: &speech::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        if !matches!(ask.format, None | Some(Format::Wav | Format::Pcm)) {
            return Err(Error::unsaid("response_format", NAME));
        }
        if ask.speed.is_some_and(|speed| speed != 1.0) {
            return Err(Error::unsaid("speed", NAME));
        }
        // How something is said is told before what is said.
        let text = match &ask.instructions {
            Some(how) => format!("{}: {}", how.trim().trim_end_matches([':', '.']), ask.input),
            None => ask.input.clone(),
        };
        let voice = json!({ "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": ask.voice } } });
        let body = json!({
            "contents": [{ "role": "user", "parts": [{ "text": text }] }],
            "generationConfig": { "responseModalities": ["AUDIO"], "speechConfig": voice },
        });
        self.ask(target.model_of(&ask.model), "generateContent", &body, target)
    }

    fn sounds(&self, _: &speech::Ask) -> Box<dyn Sounds> {
        Box::<Voice>::default()
    }

    fn sound_format(&self, ask: &speech::Ask) -> Format {
        ask.format.unwrap_or(Format::Wav)
    }

    fn transcribe(&self, ask: &transcribe::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        ask.refuse_times(NAME)?;
        let mut told = WRITE_DOWN.to_owned();
        if let Some(language) = &ask.language {
            told += &format!(" The language is `{language}`.");
        }
        if let Some(hint) = &ask.prompt {
            told += &format!(" This was said before, or tells how words are written: {hint}");
        }
        let sound = json!({ "mimeType": ask.need_media_type()?, "data": STANDARD.encode(&ask.file) });
        let parts = json!([{ "text": told }, { "inlineData": sound }]);
        let mut body = json!({ "contents": [{ "role": "user", "parts": parts }] });
        if let Some(temperature) = ask.temperature {
            body["generationConfig"] = json!({ "temperature": temperature });
        }
        self.ask(target.model_of(&ask.model), "generateContent", &body, target)
    }

    fn transcribed(&self, body: &[u8]) -> Result<transcribe::Answer, Refusal> {
        let answer = decode(body)?;
        let Some(choice) = answer.choices.first() else {
            return Err(Refusal::nonsense("it has no `candidates`"));
        };
        let text = choice.all_text().trim().to_owned();
        // Half a transcript passes for a whole one.
        match choice.finish {
            crate::chat::Finish::Length => {
                return Err(kept_back("the transcript is longer than an answer may be"));
            }
            crate::chat::Finish::Filtered => return Err(kept_back("the transcript may not be told")),
            _ => {}
        }
        Ok(transcribe::Answer { text, usage: answer.usage, ..transcribe::Answer::default() })
    }
}

impl Gemini {
    fn ask(&self, model: &str, does: &str, body: &Value, target: &Target<'_>) -> Result<HttpRequest, Error> {
        self.post(&path_of(model, does), body.to_string().into(), "application/json", target)
    }
}

fn is_imagen(model: &str) -> bool {
    model.rsplit('/').next().is_some_and(|name| name.starts_with("imagen"))
}

/// The proportions of a picture and, where it is to be larger than usual, how large.
fn proportions(ask: &images::Ask) -> Result<(Option<String>, Option<&'static str>), Error> {
    let Some((width, height)) = ask.pixels()? else { return Ok((None, None)) };
    let of = |(w, h): &&(u64, u64)| {
        width.checked_mul(*h) == height.checked_mul(*w) && width.checked_mul(*h).is_some()
    };
    let (w, h) = RATIOS.iter().find(of).ok_or(Error::unsaid("size", NAME))?;
    let resolution = match width.max(height) {
        4_096.. => Some("4K"),
        2_048.. => Some("2K"),
        _ => None,
    };
    Ok((Some(format!("{w}:{h}")), resolution))
}

/// The JSON of an answer that is no error.
fn read(body: &[u8]) -> Result<Value, Refusal> {
    let value = read_json(body)?;
    match read_error(&value) {
        Some((status, _)) => Err(classify(status, &http::HeaderMap::new(), body)),
        None => Ok(value),
    }
}

/// What the first candidate consists of.
fn parts(value: &Value) -> Result<impl Iterator<Item = &Value>, Refusal> {
    if let Some(reason) = value["promptFeedback"]["blockReason"].as_str() {
        return Err(kept_back(reason));
    }
    let candidates = value["candidates"].as_array();
    let candidates = candidates.ok_or_else(|| Refusal::nonsense("it has no `candidates`"))?;
    let parts = candidates.first().and_then(|one| one["content"]["parts"].as_array());
    Ok(parts.into_iter().flatten())
}

/// Why what was asked for is not there.
fn nothing(value: &Value, what: &str) -> Refusal {
    match value["candidates"][0]["finishReason"].as_str() {
        None | Some("STOP") => Refusal::nonsense(&format!("it holds nothing of the modality {what}")),
        Some(reason) => kept_back(reason),
    }
}

fn kept_back(reason: &str) -> Refusal {
    let message = format!("the provider kept its answer back ({reason}): ask for something else");
    Refusal::told(FailureKind::BadRequest, "content_filter", message)
}

/// Speech, which comes as one answer of JSON with bare numbers in it.
#[derive(Default)]
struct Voice {
    body: BytesMut,
    rate: Option<u32>,
}

impl Sounds for Voice {
    fn push(&mut self, bytes: &[u8], _: &mut BytesMut) -> Result<(), Refusal> {
        if self.body.len().saturating_add(bytes.len()) > SPEECH_LEN_MAX {
            return Err(Refusal::nonsense("it is too large"));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<Option<Usage>, Refusal> {
        let value = read(&self.body.split())?;
        let mut heard = false;
        for part in parts(&value)? {
            let Some(data) = part["inlineData"]["data"].as_str() else { continue };
            let sound = STANDARD.decode(data).map_err(|_| Refusal::nonsense("its sound is no base64"))?;
            let rate = part["inlineData"]["mimeType"].as_str().and_then(rate_of);
            self.rate = Some(rate.unwrap_or(RATE));
            heard |= !sound.is_empty();
            out.extend_from_slice(&sound);
        }
        if heard { Ok(usage(&value)) } else { Err(nothing(&value, "AUDIO")) }
    }

    fn bare_rate(&self) -> Option<u32> {
        self.rate
    }
}

/// The rate of `audio/L16;codec=pcm;rate=24000`.
fn rate_of(media_type: &str) -> Option<u32> {
    media_type.split(';').find_map(|option| option.trim().strip_prefix("rate=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_proportions() {
        let of = |size: &str| {
            proportions(&images::Ask { size: Some(size.to_owned()), ..images::Ask::default() })
                .map(|(ratio, resolution)| (ratio.unwrap(), resolution))
                .map_err(|error| error.to_string())
        };
        assert_eq!(of("1024x1024"), Ok(("1:1".to_owned(), None)));
        assert_eq!(of("1536x1024"), Ok(("3:2".to_owned(), None)));
        assert_eq!(of("2304x4096"), Ok(("9:16".to_owned(), Some("4K"))));
        assert!(of("1792x1024").unwrap_err().contains("`size`"));
        for wrong in ["big", "0x0", "1x", "18446744073709551615x3"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
