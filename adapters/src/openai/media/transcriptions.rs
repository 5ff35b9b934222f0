//! `/v1/audio/transcriptions`.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{lacking, spent};
use crate::call::form::single;
use crate::call::{Call, Error};
use crate::dialect::Refusal;
use crate::media::json;
use crate::media::transcribe::{Answer, Ask, Form, Segment, Word, media_type_of};
use crate::multipart::{Part, Writer};
use crate::openai::usage_of;
use crate::usage::Usage;

/// Fields that are read, or were.
const READ: [&str; 9] = [
    "model",
    "file",
    "stream",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "timestamp_granularities[]",
    "timestamp_granularities",
];

/// The question of a form.
///
/// # Errors
/// When a field is of the wrong type, or out of range.
pub(crate) fn ask(call: &Call) -> Result<Ask, Error> {
    let parts = call.parts()?;
    let text = |name: &str| {
        let text = single(&parts, name)?.map(|part| part.text(&call.body)).transpose()?;
        Ok::<_, Error>(text.filter(|text| !text.is_empty()))
    };
    let form = match text("response_format")?.as_deref() {
        None | Some("json") => Form::Json,
        Some("text") => Form::Text,
        Some("verbose_json") => Form::Verbose,
        Some("srt") => Form::Srt,
        Some("vtt") => Form::Vtt,
        Some(_) => {
            return Err(Error::field("response_format", "must be json, text, verbose_json, srt or vtt"));
        }
    };
    let temperature = match text("temperature")? {
        None => None,
        Some(number) => {
            let number = number.trim().parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
            Some(number.ok_or(Error::field("temperature", "must be a number from 0 to 1"))?)
        }
    };
    let (words, segments) = times(&parts, &call.body)?;
    let file = single(&parts, "file")?.ok_or(Error::field("file", "is missing: it is the sound"))?;
    let name = file.file.clone().unwrap_or_default();
    Ok(Ask {
        model: call.model.clone(),
        file: call.body.slice(file.at.clone()),
        media_type: media_type(file),
        name: if name.is_empty() { "audio".to_owned() } else { name },
        language: text("language")?,
        prompt: text("prompt")?,
        form,
        temperature,
        words,
        segments,
        stream: call.stream,
        rest: parts.into_iter().map(|part| part.name).filter(|name| !READ.contains(&name.as_str())).collect(),
    })
}

/// Which times are wanted: of words, of segments.
fn times(parts: &[Part], body: &[u8]) -> Result<(bool, bool), Error> {
    let (mut words, mut segments) = (false, false);
    for part in parts.iter().filter(|part| part.name.trim_end_matches("[]") == "timestamp_granularities") {
        match part.text(body)?.as_str() {
            "word" => words = true,
            "segment" => segments = true,
            _ => return Err(Error::field("timestamp_granularities[]", "must be word or segment")),
        }
    }
    Ok((words, segments))
}

/// What the sound is: as the client says, or by its name; some libraries call everything a stream of octets.
fn media_type(file: &Part) -> String {
    let told = file.media_type.as_deref().map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    let told = told.filter(|kind| kind.starts_with("audio/") || kind.starts_with("video/"));
    let named = || file.file.as_deref().and_then(media_type_of);
    told.or_else(named).unwrap_or_default().to_owned()
}

/// What an answer of this form is.
pub(crate) fn content_type(form: Form) -> &'static str {
    match form {
        Form::Json | Form::Verbose => "application/json",
        Form::Text | Form::Srt => "text/plain; charset=utf-8",
        Form::Vtt => "text/vtt; charset=utf-8",
    }
}

/// The answer to a client.
///
/// # Errors
/// When it needs times that the provider did not tell.
pub(crate) fn answer(ask: &Ask, answer: &Answer) -> Result<Bytes, Refusal> {
    if matches!(ask.form, Form::Srt | Form::Vtt) && answer.segments.is_empty() && !answer.text.is_empty() {
        return Err(Refusal::nonsense("it does not tell when things were said"));
    }
    Ok(match ask.form {
        Form::Json => {
            let mut out = json!({ "text": answer.text });
            if let Some(usage) = &answer.usage {
                out["usage"] = used(usage);
            }
            out.to_string()
        }
        Form::Text => format!("{}\n", answer.text),
        Form::Verbose => verbose(ask, answer).to_string(),
        Form::Srt => subtitles(answer, ',', |n| format!("{n}\n")),
        Form::Vtt => format!("WEBVTT\n\n{}", subtitles(answer, '.', |_| String::new())),
    }
    .into())
}

/// The answer to a client that wants it in pieces: all at once.
pub(crate) fn events(answer: &Answer) -> Bytes {
    let delta = json!({ "type": "transcript.text.delta", "delta": answer.text });
    let mut done = json!({ "type": "transcript.text.done", "text": answer.text });
    if let Some(usage) = &answer.usage {
        done["usage"] = used(usage);
    }
    format!("data: {delta}\n\ndata: {done}\n\n").into()
}

fn used(usage: &Usage) -> Value {
    let mut out = spent(usage);
    out["type"] = "tokens".into();
    out
}

fn verbose(ask: &Ask, answer: &Answer) -> Value {
    let mut out = json!({ "task": "transcribe", "text": answer.text });
    if let Some(language) = &answer.language {
        out["language"] = language.as_str().into();
    }
    if let Some(duration) = answer.duration_s {
        out["duration"] = duration.into();
    }
    let segments = answer.segments.iter().enumerate().map(|(n, segment)| {
        let mut one =
            json!({ "id": n, "start": segment.start_s, "end": segment.end_s, "text": segment.text });
        if let Value::Object(one) = &mut one {
            one.extend(segment.more.clone());
        }
        one
    });
    out["segments"] = segments.collect();
    if ask.words {
        let words = answer.words.iter();
        out["words"] = words
            .map(|word| json!({ "word": word.text, "start": word.start_s, "end": word.end_s }))
            .collect();
    }
    out
}

/// Subtitles: SubRip numbers them and writes a comma in times, WebVTT writes a point.
fn subtitles(answer: &Answer, point: char, number: impl Fn(usize) -> String) -> String {
    let mut out = String::new();
    for (n, segment) in answer.segments.iter().enumerate() {
        let (start, end) = (time(segment.start_s, point), time(segment.end_s, point));
        // Writing to a text does not fail; an empty line would end the subtitle.
        let text = segment.text.trim().replace("\n\n", "\n");
        let _ = write!(out, "{}{start} --> {end}\n{text}\n\n", number(n + 1));
    }
    out
}

fn time(seconds: f64, point: char) -> String {
    let ms = (seconds.max(0.0) * 1_000.0).round() as u64;
    let (s, ms) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}{point}{ms:03}", s / 3_600, s / 60 % 60, s % 60)
}

/// The question to a server: a form, and its content type. Subtitles are written here, out of times.
pub(super) fn body(ask: &Ask, model: &str) -> (String, Bytes) {
    let mut writer = Writer::default();
    writer.text("model", model);
    for (name, value) in [("language", &ask.language), ("prompt", &ask.prompt)] {
        if let Some(value) = value {
            writer.text(name, value);
        }
    }
    let form = if matches!(ask.form, Form::Json | Form::Text) { "json" } else { "verbose_json" };
    writer.text("response_format", form);
    if let Some(temperature) = ask.temperature {
        writer.text("temperature", temperature.to_string());
    }
    for (word, wanted) in [("word", ask.words), ("segment", ask.segments)] {
        if wanted {
            writer.text("timestamp_granularities[]", word);
        }
    }
    let kind = if ask.media_type.is_empty() { "application/octet-stream" } else { &ask.media_type };
    writer.finish("file", &ask.name, kind, &ask.file)
}

/// The answer of a server.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value = json(body)?;
    let text = value["text"].as_str().ok_or_else(|| lacking(body, "text"))?;
    let list = |name: &str| value[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let segments = list("segments").iter().map(|one| Segment {
        text: one["text"].as_str().unwrap_or_default().to_owned(),
        start_s: one["start"].as_f64().unwrap_or_default(),
        end_s: one["end"].as_f64().unwrap_or_default(),
        more: one.as_object().map(more).unwrap_or_default(),
    });
    let words = list("words").iter().map(|one| Word {
        text: one["word"].as_str().unwrap_or_default().to_owned(),
        start_s: one["start"].as_f64().unwrap_or_default(),
        end_s: one["end"].as_f64().unwrap_or_default(),
    });
    Ok(Answer {
        text: text.to_owned(),
        language: value["language"].as_str().map(str::to_owned),
        // Some servers write the number as text.
        duration_s: value["duration"].as_f64().or_else(|| value["duration"].as_str()?.parse().ok()),
        segments: segments.collect(),
        words: words.collect(),
        usage: usage_of(body),
    })
}

fn more(segment: &Map<String, Value>) -> Map<String, Value> {
    const KNOWN: [&str; 4] = ["id", "text", "start", "end"];
    let more = segment.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    more.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtitles_tell_when_things_were_said() {
        let segment = |text: &str, start_s, end_s| Segment {
            text: text.to_owned(),
            start_s,
            end_s,
            ..Segment::default()
        };
        let told = Answer {
            text: "a b".to_owned(),
            segments: vec![segment(" a", 0.0, 1.5), segment("b\n\nc ", 3_661.000_4, 3_662.999_6)],
            ..Answer::default()
        };
        let of = |form| {
            String::from_utf8(answer(&Ask { form, ..Ask::default() }, &told).unwrap().to_vec()).unwrap()
        };
        assert_eq!(
            of(Form::Srt),
            "1\n00:00:00,000 --> 00:00:01,500\na\n\n2\n01:01:01,000 --> 01:01:03,000\nb\nc\n\n"
        );
        assert!(of(Form::Vtt).starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na\n\n"));
        assert_eq!(of(Form::Text), "a b\n");
        let untold = Answer { text: "a".to_owned(), ..Answer::default() };
        assert!(answer(&Ask { form: Form::Srt, ..Ask::default() }, &untold).is_err());
    }
}
