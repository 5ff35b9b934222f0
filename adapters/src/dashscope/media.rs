//! DashScope's pictures, speech, transcripts and order of documents. Pictures are those of models that answer at once;
//! older ones only take a task, to be asked after later.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::sounds::Pieces;
use super::{DashScope, MULTIMODAL, answer, errors};
use crate::call::{Error, HttpRequest, Target};
use crate::dialect::{Dialect, Refusal};
use crate::media::speech::{Format, Sounds};
use crate::media::{Media, images, json as read_json, rerank, speech, transcribe};
use crate::openai::media::rerank::ranks;
use crate::usage::Usage;

/// The path for the order of documents.
const RERANK: &str = "/services/rerank/text-rerank/text-rerank";
/// The path of newer models for speech, which offer several formats.
const SYNTHESIZER: &str = "/services/audio/tts/SpeechSynthesizer";
/// Beginnings of the names of models that draw only what one asks after later.
const DRAWS_LATER: [&str; 8] =
    ["wanx", "wan2.1", "wan2.2", "wan2.3", "wan2.4", "wan2.5", "flux", "stable-diffusion"];
/// The format of speech where the client leaves it open: the one that all models can give.
const USUAL: Format = Format::Wav;
/// Beginnings of the names of newer models for speech.
const SYNTHESIZERS: [&str; 1] = ["qwen-audio"];

impl Media for DashScope {
    fn draw(&self, ask: &images::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        if DRAWS_LATER.iter().any(|start| model.starts_with(start)) {
            return Err(Error::cannot("images by this model in one call", self.name()));
        }
        let unsaid = ["quality", "style", "background", "output_format"];
        ask.refuse(&unsaid, images::Delivery::Url, self.name())?;
        let mut parameters = Map::new();
        if let Some((width, height)) = ask.pixels()? {
            parameters.insert("size".to_owned(), format!("{width}*{height}").into());
        }
        if let Some(count) = ask.count {
            parameters.insert("n".to_owned(), count.into());
        }
        let messages = json!([{ "role": "user", "content": [{ "text": ask.prompt }] }]);
        let body = json!({ "model": model, "input": { "messages": messages }, "parameters": parameters });
        self.post(MULTIMODAL, &body, false, target)
    }

    fn drawn(&self, body: &[u8]) -> Result<images::Answer, Refusal> {
        let value = read(body)?;
        let images = contents(&value)?
            .filter_map(|one| one["image"].as_str())
            .map(|url| images::Image { data: images::Data::Url(url.to_owned()), revised: None });
        Ok(images::Answer { created: None, images: images.collect(), usage: answer::usage(&value["usage"]) })
    }

    /// Speech is asked for in pieces: whole, it would be the address of a file elsewhere.
    fn speak(&self, ask: &speech::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        if ask.instructions.is_some() {
            return Err(Error::unsaid("instructions", self.name()));
        }
        if ask.speed.is_some_and(|speed| speed != 1.0) {
            return Err(Error::unsaid("speed", self.name()));
        }
        let mut input = json!({ "text": ask.input, "voice": ask.voice });
        let path = if is_synthesizer(model) {
            let format = ask.format.unwrap_or(USUAL);
            if matches!(format, Format::Aac | Format::Flac) {
                return Err(Error::unsaid("response_format", self.name()));
            }
            input["format"] = format.as_str().into();
            SYNTHESIZER
        } else {
            if !matches!(ask.format, None | Some(Format::Wav | Format::Pcm)) {
                return Err(Error::unsaid("response_format", self.name()));
            }
            MULTIMODAL
        };
        self.post(path, &json!({ "model": model, "input": input }), true, target)
    }

    fn sounds(&self, _: &speech::Ask) -> Box<dyn Sounds> {
        Box::<Pieces>::default()
    }

    fn sound_format(&self, ask: &speech::Ask) -> Format {
        ask.format.unwrap_or(USUAL)
    }

    fn transcribe(&self, ask: &transcribe::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        ask.refuse_times(self.name())?;
        if ask.temperature.is_some_and(|temperature| temperature != 0.0) {
            return Err(Error::unsaid("temperature", self.name()));
        }
        let sound = format!("data:{};base64,{}", ask.need_media_type()?, STANDARD.encode(&ask.file));
        let mut messages = Vec::new();
        if let Some(hint) = &ask.prompt {
            messages.push(json!({ "role": "system", "content": [{ "text": hint }] }));
        }
        messages.push(json!({ "role": "user", "content": [{ "audio": sound }] }));
        let model = target.model_of(&ask.model);
        let mut body = json!({ "model": model, "input": { "messages": messages } });
        if let Some(language) = &ask.language {
            body["parameters"] = json!({ "asr_options": { "language": language } });
        }
        self.post(MULTIMODAL, &body, false, target)
    }

    fn transcribed(&self, body: &[u8]) -> Result<transcribe::Answer, Refusal> {
        let value = read(body)?;
        let text: String = contents(&value)?.filter_map(|one| one["text"].as_str()).collect();
        let notes = value["output"]["choices"][0]["message"]["annotations"].as_array();
        let language = notes.into_iter().flatten().find_map(|note| note["language"].as_str());
        let seconds = &value["usage"]["seconds"];
        Ok(transcribe::Answer {
            text,
            language: language.map(str::to_owned),
            duration_s: seconds.as_f64(),
            usage: answer::usage(&value["usage"]),
            ..transcribe::Answer::default()
        })
    }

    fn rerank(&self, ask: &rerank::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let documents: Vec<&str> = ask.documents.iter().map(|document| document.text.as_str()).collect();
        // Documents need not come back that are known here.
        let mut parameters = json!({ "return_documents": false });
        if let Some(top) = ask.top {
            parameters["top_n"] = top.into();
        }
        let input = json!({ "query": ask.query, "documents": documents });
        let body = json!({ "model": target.model_of(&ask.model), "input": input, "parameters": parameters });
        self.post(RERANK, &body, false, target)
    }

    fn reranked(&self, body: &[u8]) -> Result<rerank::Answer, Refusal> {
        let value = read(body)?;
        let results = value["output"]["results"].as_array();
        let results = results.ok_or_else(|| Refusal::nonsense("it has no `output.results`"))?;
        Ok(rerank::Answer {
            id: value["request_id"].as_str().unwrap_or_default().to_owned(),
            model: String::new(),
            ranks: ranks(results)?,
            usage: value["usage"]["total_tokens"].as_u64().map(|tokens| Usage::of(tokens, 0)),
        })
    }
}

fn is_synthesizer(model: &str) -> bool {
    SYNTHESIZERS.iter().any(|start| model.starts_with(start))
}

/// The JSON of an answer that is no error.
fn read(body: &[u8]) -> Result<Value, Refusal> {
    let value = read_json(body)?;
    match errors::told(&value, None) {
        Some(refusal) => Err(refusal),
        None => Ok(value),
    }
}

/// The pieces of all messages.
fn contents(value: &Value) -> Result<impl Iterator<Item = &Value>, Refusal> {
    let choices = value["output"]["choices"].as_array();
    let choices = choices.ok_or_else(|| Refusal::nonsense("it has no `output.choices`"))?;
    Ok(choices.iter().filter_map(|one| one["message"]["content"].as_array()).flatten())
}
