//! Pictures, speech, transcripts, moderations and the order of documents, over those who offer them. Files are under
//! `tests/data/media/`: `<operation>.<case>.ask.json` is what a client asks, with what each dialect makes of it beside it;
//! `<dialect>.<operation>.<case>.answer` is what a provider answers, with what the client gets beside it.

use std::path::Path;

use adapters::dialect::{Dialect, Spoken, named};
use adapters::exchange::Exchange;
use adapters::media::Task;
use adapters::{Call, Error, HttpRequest, Operation, Target, Usage};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{harness, noise};

const DIALECTS: [&str; 4] = ["compatible", "dashscope", "gemini", "azure"];
const KIND: &str = "multipart/form-data; boundary=----x";

fn target(dialect: &str, operation: Operation) -> Target<'static> {
    let (base, model) = match (dialect, operation) {
        ("gemini", Operation::Images) => ("https://g.example", "gemini-2.5-flash-image"),
        ("gemini", Operation::Speech) => ("https://g.example", "gemini-2.5-flash-preview-tts"),
        ("gemini", _) => ("https://g.example", "gemini-2.5-flash"),
        ("dashscope", Operation::Images) => ("https://d.example", "qwen-image-plus"),
        ("dashscope", Operation::Speech) => ("https://d.example", "qwen3-tts-flash"),
        ("dashscope", Operation::Transcriptions) => ("https://d.example", "qwen3-asr-flash"),
        ("dashscope", _) => ("https://d.example", "gte-rerank-v2"),
        ("azure", _) => ("https://r.openai.azure.com", "mine"),
        _ => ("https://o.example/v1", "theirs"),
    };
    Target { secret: Some("k"), model: Some(model), ..Target::at(base) }
}

fn operation(word: &str) -> Operation {
    let found = Operation::ALL.iter().copied().find(|operation| operation.as_str() == word);
    found.unwrap_or_else(|| panic!("{word} is no operation"))
}

fn speaks(dialect: &str) -> &'static dyn Dialect {
    named(dialect).unwrap_or_else(|| panic!("{dialect} is no dialect"))
}

fn parsed(operation: Operation, body: &Value) -> Call {
    Call::parse(operation, body.to_string().into()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn form(fields: &[(&str, &str)]) -> Bytes {
    let mut body: String = fields
        .iter()
        .map(|(name, value)| {
            format!("------x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        })
        .collect();
    body += "------x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\
        Content-Type: application/octet-stream\r\n\r\nsound\r\n------x--\r\n";
    body.into()
}

fn transcription(fields: &[(&str, &str)]) -> Call {
    let fields = [&[("model", "m")], fields].concat();
    let call = Call::parse_form(Operation::Transcriptions, KIND, form(&fields));
    call.unwrap_or_else(|error| panic!("{fields:?}: {error}"))
}

/// The request of a dialect said anew, also where bytes would pass.
fn said(call: &Call, dialect: &str) -> Result<HttpRequest, Error> {
    let spoken = Spoken::Known(speaks(dialect));
    let target = target(dialect, call.operation);
    match (spoken.relays(call.operation), Task::of(call)?, spoken.media()) {
        (true, Some(task), Some(media)) => task.request(media, &target),
        _ => Exchange::new(call, &spoken)?.request(call, &target),
    }
}

fn request_text(request: Result<HttpRequest, Error>) -> String {
    match request {
        Ok(request) => harness::request_text(&request),
        Err(error) => format!("refused: {error}\n"),
    }
}

#[test]
fn each_dialect_asks_in_its_own_words() {
    for case in harness::files("media", ".ask.json") {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let operation = operation(name.split('.').next().unwrap());
        let call = Call::parse(operation, Bytes::from(harness::read(&case)));
        let text: String = DIALECTS
            .iter()
            .map(|dialect| {
                let request = call.clone().and_then(|call| said(&call, dialect));
                format!("=== {dialect}\n{}", request_text(request))
            })
            .collect();
        harness::expect(&case, "requests", &text);
    }
}

#[test]
fn transcripts_are_asked_for_in_each_dialects_words() {
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("plain", &[]),
        ("hinted", &[("language", "en"), ("prompt", "LLMHub"), ("temperature", "0.2")]),
        ("subtitles", &[("response_format", "srt")]),
        ("words", &[("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]),
        ("unknown", &[("chunking_strategy", "auto")]),
    ];
    for (name, fields) in cases {
        let call = transcription(fields);
        let text: String = DIALECTS
            .iter()
            .map(|dialect| {
                format!("=== {dialect}\n{}", request_text(said(&call, dialect)).replace("\r\n", "\n"))
            })
            .collect();
        let path = harness::folder("media").join(format!("transcriptions.{name}.ask.json"));
        harness::expect(&path, "requests", &text);
    }
}

/// A call that answers of this case are for.
fn asked(operation: Operation, case: &str) -> Call {
    let body = match operation {
        Operation::Images => json!({ "model": "m", "prompt": "a red cube" }),
        Operation::Speech => json!({ "model": "m", "input": "Hello", "voice": "Kore" }),
        Operation::Moderations => json!({ "model": "m", "input": "be nice" }),
        Operation::Rerank => {
            let documents = json!(["Paris is.", { "text": "Berlin is not.", "id": 7 }]);
            json!({ "model": "m", "query": "q", "documents": documents, "return_documents": case != "plain" })
        }
        _ => {
            let verbose = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")];
            return transcription(if case == "verbose" { &verbose } else { &[] });
        }
    };
    parsed(operation, &body)
}

fn whole_text(dialect: &dyn Dialect, call: &Call, body: &[u8]) -> String {
    let (Ok(Some(task)), Some(media)) = (Task::of(call), dialect.media()) else { panic!("{call:?}") };
    match task.whole(media, body, &harness::about()) {
        Ok(whole) => {
            let kind = whole.content_type.unwrap_or("as it is");
            let bytes = if kind.starts_with("audio") {
                format!("{:?}\n", whole.bytes)
            } else {
                harness::pretty(&whole.bytes)
            };
            format!("{kind}\n{:?}\n{bytes}", whole.usage)
        }
        Err(refusal) => format!("{refusal:#?}\n"),
    }
}

/// Whose answer to what a file holds, and the case.
fn case_of(path: &Path) -> (&'static dyn Dialect, Operation, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.split('.').collect::<Vec<_>>()[..] {
        [dialect, word, case, _] => (speaks(dialect), operation(word), case.to_owned()),
        _ => panic!("{name} is called otherwise than the others"),
    }
}

#[test]
fn answers_reach_clients_in_openais_words() {
    for path in harness::files("media", ".answer") {
        let (dialect, operation, case) = case_of(&path);
        let text = whole_text(dialect, &asked(operation, &case), &harness::read(&path));
        harness::expect(&path, "sent", &text);
    }
}

#[test]
fn changed_answers_make_nothing_panic() {
    for path in harness::files("media", ".answer") {
        let (dialect, ..) = case_of(&path);
        let body = harness::read(&path);
        for at in 0..body.len() {
            noise::media(dialect, &body[..at]);
            let mut changed = body.clone();
            changed[at] ^= 0x15;
            noise::media(dialect, &changed);
        }
    }
}

#[test]
fn speech_is_the_same_however_it_is_cut() {
    let body = harness::read(&harness::folder("media").join("dashscope.speech.plain.answer"));
    for (format, events) in [("pcm", false), ("wav", false), ("pcm", true)] {
        let stream = if events { "sse" } else { "audio" };
        let ask = json!({ "model": "m", "input": "Hello", "voice": "Kore", "response_format": format, "stream_format": stream });
        let call = Call::parse(Operation::Speech, ask.to_string().into()).unwrap();
        let exchange = Exchange::new(&call, &Spoken::Known(speaks("dashscope"))).unwrap();
        let heard = |pieces: Vec<&[u8]>| {
            let (mut sounding, mut out) = (exchange.sounding().unwrap(), BytesMut::new());
            pieces.iter().for_each(|piece| sounding.push(piece, &mut out).unwrap());
            (sounding.finish(&mut out).unwrap(), sounding.content_type(), out)
        };
        let (usage, kind, sound) = heard(body.chunks(1).collect());
        assert_eq!(usage, Some(Usage::of(3, 20)));
        match (format, events) {
            (_, true) => {
                assert_eq!(kind, "text/event-stream");
                let text = String::from_utf8(sound.to_vec()).unwrap();
                assert!(
                    text.starts_with("data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAEC\"}\n\n"),
                    "{text}"
                );
                assert!(text.contains("speech.audio.done") && text.contains("\"total_tokens\":23"), "{text}");
            }
            ("wav", _) => {
                assert_eq!(
                    (kind, &sound[..4], &sound[44..]),
                    ("audio/wav", &b"RIFF"[..], &[0, 1, 2, 3, 4, 5][..])
                );
            }
            _ => assert_eq!((kind, &sound[..]), ("audio/pcm", &[0, 1, 2, 3, 4, 5][..])),
        }
        if !events {
            for at in 0..=body.len() {
                let (left, right) = body.split_at(at);
                assert_eq!(heard(vec![left, right]).2, sound, "cut at {at}");
            }
        }
    }
}

#[test]
fn transcripts_come_in_pieces_to_those_who_want_that() {
    let call = transcription(&[("stream", "true")]);
    assert!(call.stream);
    let exchange = Exchange::new(&call, &Spoken::Known(speaks("gemini"))).unwrap();
    assert_eq!(exchange.stream_type(), Some("text/event-stream"));
    let body = harness::read(&harness::folder("media").join("gemini.transcriptions.plain.answer"));
    let (bytes, usage) = exchange.replay(&body, &harness::about()).unwrap().unwrap();
    assert_eq!(usage, Some(Usage::of(70, 4)));
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(
        text.starts_with("data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hello there.\"}\n\ndata: "),
        "{text}"
    );
    // Who reads along with such a stream knows its end.
    let relay = Exchange::new(&call, &Spoken::Known(speaks("openai"))).unwrap();
    let mut watched = relay.watched();
    watched.push(&bytes[..bytes.len() / 2]);
    assert!(!watched.ending().done);
    watched.push(&bytes[bytes.len() / 2..]);
    assert!(watched.ending().done);
    assert_eq!((watched.ending().usage, watched.pieces()), (Some(Usage::of(70, 4)), 1));
}

#[test]
fn a_form_passes_with_nothing_but_the_models_name_changed() {
    let call = transcription(&[("language", "en")]);
    assert_eq!(call.content_type(), KIND);
    let exchange = Exchange::new(&call, &Spoken::Known(speaks("zhipu"))).unwrap();
    assert!(exchange.relays());
    let target =
        Target { secret: Some("k"), model: Some("glm-asr-2512"), ..Target::at("https://z.example/v4") };
    let request = exchange.request(&call, &target).unwrap();
    assert_eq!(request.uri(), "https://z.example/v4/audio/transcriptions");
    assert_eq!(request.headers()["content-type"], KIND);
    assert_eq!(request.body(), &form(&[("model", "glm-asr-2512"), ("language", "en")]));
    let same = exchange.request(&call, &Target { model: None, ..target }).unwrap();
    assert_eq!(same.body(), &call.body);
    // What a target answers is what it is.
    let whole = exchange.whole(Bytes::from_static(b"{\"text\":\"hi\"}"), &harness::about()).unwrap();
    assert_eq!((&whole.bytes[..], whole.content_type), (&b"{\"text\":\"hi\"}"[..], None));
}

#[test]
fn a_form_that_makes_no_sense_is_told_by_its_field() {
    let wrong = |fields: &[(&str, &str)]| {
        let call = Call::parse_form(Operation::Transcriptions, KIND, form(fields));
        call.and_then(|call| Task::of(&call)).unwrap_err().to_string()
    };
    assert!(wrong(&[]).contains("`model` is missing"));
    assert!(wrong(&[("model", "")]).contains("`model` must have"));
    assert!(wrong(&[("model", "a"), ("model", "b")]).contains("`model` was sent twice"));
    assert!(wrong(&[("model", "a"), ("file", "b")]).contains("`file` was sent twice"));
    assert!(wrong(&[("model", "a"), ("stream", "maybe")]).contains("`stream`"));
    assert!(wrong(&[("model", "a"), ("response_format", "xml")]).contains("`response_format`"));
    assert!(wrong(&[("model", "a"), ("temperature", "hot")]).contains("`temperature`"));
    assert!(wrong(&[("model", "a"), ("timestamp_granularities[]", "hour")]).contains("granularities"));
    let told = |operation, kind: &str| {
        Call::parse_form(operation, kind, form(&[("model", "m")])).unwrap_err().to_string()
    };
    assert!(told(Operation::Transcriptions, "application/json").contains("multipart/form-data"));
    assert!(told(Operation::Chat, KIND).contains("application/json"));
    assert!(told(Operation::Transcriptions, "multipart/form-data").contains("boundary"));
    let json =
        Call::parse(Operation::Transcriptions, Bytes::from_static(b"{\"model\":\"m\",\"file\":\"x\"}"));
    assert!(json.unwrap_err().to_string().contains("multipart/form-data"));
    let chat = Bytes::from_static(b"{\"model\":\"m\",\"messages\":[]}");
    assert!(Call::parse_form(Operation::Chat, "application/json", chat).is_ok());
    let none = "------x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n------x--";
    let none = Call::parse_form(Operation::Transcriptions, KIND, Bytes::from_static(none.as_bytes()));
    assert!(none.unwrap_err().to_string().contains("`file` is missing"));
}

#[test]
fn what_a_provider_does_not_do_is_refused_by_name() {
    let speech = Bytes::from_static(b"{\"model\":\"m\",\"input\":\"a\",\"voice\":\"b\"}");
    let speech = Call::parse(Operation::Speech, speech).unwrap();
    for dialect in ["anthropic", "ollama", "deepseek", "moonshot", "spark", "qianfan"] {
        let spoken = Spoken::Known(speaks(dialect));
        let exchange = Exchange::new(&speech, &spoken);
        let request =
            exchange.and_then(|exchange| exchange.request(&speech, &Target::at("https://a.example")));
        let error = request.unwrap_err();
        assert!(error.is_of_target() && error.to_string().contains("speech"), "{dialect}: {error}");
    }
    let image = Bytes::from_static(b"{\"model\":\"wan2.2-t2i-flash\",\"prompt\":\"a\"}");
    let image = Call::parse(Operation::Images, image).unwrap();
    let exchange = Exchange::new(&image, &Spoken::Known(speaks("dashscope"))).unwrap();
    let target = Target { secret: Some("k"), ..Target::at("https://d.example") };
    assert!(exchange.request(&image, &target).unwrap_err().to_string().contains("in one call"));
}

#[test]
fn newer_models_for_speech_are_asked_elsewhere() {
    let body =
        json!({ "model": "qwen-audio-3.1-tts-flash", "input": "a", "voice": "b", "response_format": "mp3" });
    let call = Call::parse(Operation::Speech, body.to_string().into()).unwrap();
    let exchange = Exchange::new(&call, &Spoken::Known(speaks("dashscope"))).unwrap();
    let target = Target { secret: Some("k"), ..Target::at("https://d.example") };
    let request = exchange.request(&call, &target).unwrap();
    assert_eq!(request.uri().path(), "/api/v1/services/audio/tts/SpeechSynthesizer");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body["input"], json!({ "text": "a", "voice": "b", "format": "mp3" }));
    assert_eq!(exchange.sounding().unwrap().content_type(), "audio/mpeg");
}

#[test]
fn imagen_is_asked_to_predict() {
    let body = json!({ "model": "imagen-4.0-generate-001", "prompt": "a", "n": 2, "size": "1024x1024" });
    let call = Call::parse(Operation::Images, body.to_string().into()).unwrap();
    let exchange = Exchange::new(&call, &Spoken::Known(speaks("gemini"))).unwrap();
    let request = exchange.request(&call, &Target::at("https://g.example")).unwrap();
    assert_eq!(request.uri().path(), "/v1beta/models/imagen-4.0-generate-001:predict");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(
        body,
        json!({ "instances": [{ "prompt": "a" }], "parameters": { "aspectRatio": "1:1", "sampleCount": 2 } })
    );
}

#[test]
fn the_tokens_of_each_task_are_estimated_from_what_it_holds() {
    let estimate =
        |operation, body: Value| Call::parse(operation, body.to_string().into()).unwrap().prompt_estimate();
    let speech = json!({ "model": "m", "input": "你好 there", "voice": "v" });
    assert_eq!(estimate(Operation::Speech, speech), 8);
    let rerank = json!({ "model": "m", "query": "12345678", "documents": ["12345678", "12345678"] });
    assert_eq!(estimate(Operation::Rerank, rerank), 9);
    assert_eq!(estimate(Operation::Images, json!({ "model": "m", "prompt": "12345678" })), 3);
    let file = "s".repeat(31_999);
    let call = |aside: &str| {
        let body = String::from_utf8(form(&[("model", "m"), ("prompt", aside)]).to_vec()).unwrap();
        Call::parse_form(Operation::Transcriptions, KIND, body.replace("sound", &file).into()).unwrap()
    };
    // Two seconds, and four bytes.
    assert_eq!(call("abcd").prompt_estimate(), 65);
    assert_eq!(call("").output_max, Some(0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_form_makes_the_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "--b", "\r\n", "--", "\r\n\r\n", "Content-Disposition: form-data; ", "name=\"model\"", "name=\"file\"",
            "; filename=\"a\\\"", "\"", "m", " ", "\r",
        ]), 0..40),
        options in "[ -~]{0,20}",
    ) {
        let kinds = ["multipart/form-data; boundary=b".to_owned(), format!("multipart/form-data; {options}")];
        for kind in kinds {
            for body in [bytes.clone(), pieces.concat().into_bytes(), [pieces.concat().as_bytes(), &bytes].concat()] {
                if let Ok(call) = Call::parse_form(Operation::Transcriptions, &kind, body.into()) {
                    let _ = call.prompt_estimate();
                    let _ = Task::of(&call);
                    let _ = call.body_for(Some("other"));
                }
            }
        }
    }

    #[test]
    fn a_form_cut_anywhere_is_refused_and_a_whole_one_keeps_its_sound(
        sound in prop::collection::vec(any::<u8>(), 1..200),
        model in "[a-zA-Z0-9./:-]{1,40}",
        cut in any::<prop::sample::Index>(),
    ) {
        let head = format!(
            "------x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n------x\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n"
        );
        let body = Bytes::from([head.as_bytes(), &sound, b"\r\n------x--"].concat());
        let call = Call::parse_form(Operation::Transcriptions, KIND, body.clone()).unwrap();
        let Some(Task::Transcribe(ask)) = Task::of(&call).unwrap() else { panic!("no transcription") };
        prop_assert_eq!((&ask.file[..], &ask.model, ask.media_type.as_str()), (&sound[..], &model, "audio/wav"));
        let renamed = call.body_for(Some("other"));
        let again = Call::parse_form(Operation::Transcriptions, KIND, renamed).unwrap();
        prop_assert_eq!(&again.model, "other");
        prop_assert_eq!(again.body_for(Some(&model)), body.clone());
        let at = cut.index(body.len());
        prop_assert!(Call::parse_form(Operation::Transcriptions, KIND, body.slice(..at)).is_err(), "{}", at);
    }
}
