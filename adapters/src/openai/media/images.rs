//! `/v1/images/generations`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{lacking, rest, spent};
use crate::call::{Call, Error};
use crate::client::About;
use crate::dialect::Refusal;
use crate::media::images::{Answer, Ask, Data, Delivery, Image};
use crate::media::json;
use crate::openai::usage_of;
use crate::read::Fields;

/// The most pictures of one call, as at OpenAI.
const COUNT_MAX: u64 = 10;

/// The question of a body.
///
/// # Errors
/// When a field is missing, of the wrong type, or out of range.
pub(crate) fn ask(call: &Call) -> Result<Ask, Error> {
    let mut fields = Fields::body(&call.body)?;
    let count = fields.count("n")?;
    if count.is_some_and(|count| !(1..=COUNT_MAX).contains(&count)) {
        return Err(fields.wrong("n", format!("must be from 1 to {COUNT_MAX}")));
    }
    let delivery = match fields.text("response_format")?.as_deref() {
        None => None,
        Some("url") => Some(Delivery::Url),
        Some("b64_json") => Some(Delivery::Base64),
        Some(_) => return Err(fields.wrong("response_format", "must be url or b64_json")),
    };
    // What is left to the provider anyway needs no word.
    let mut own = |name: &str| Ok::<_, Error>(fields.text(name)?.filter(|word| word != "auto"));
    let (size, quality, style, background) =
        (own("size")?, own("quality")?, own("style")?, own("background")?);
    let file = own("output_format")?;
    if fields.flag("stream")? == Some(true) {
        let hint = "cannot be used with this model's provider: leave it out for whole pictures";
        return Err(fields.wrong("stream", hint));
    }
    Ok(Ask {
        model: fields.need_text("model")?,
        prompt: fields.need_text("prompt")?,
        count,
        size,
        quality,
        style,
        background,
        file,
        delivery,
        user: fields.text("user")?,
        rest: rest(fields),
    })
}

/// The answer to a client.
pub(crate) fn answer(ask: &Ask, answer: &Answer, about: &About) -> Bytes {
    let images = answer.images.iter().map(|image| {
        let mut one = match &image.data {
            Data::Url(url) => json!({ "url": url }),
            Data::Base64(data) => json!({ "b64_json": data }),
        };
        if let Some(prompt) = &image.revised {
            one["revised_prompt"] = prompt.as_str().into();
        }
        one
    });
    let images: Vec<Value> = images.collect();
    let mut out = json!({ "created": answer.created.unwrap_or(about.now_s), "data": images });
    for (name, value) in [("size", &ask.size), ("quality", &ask.quality), ("background", &ask.background)] {
        if let Some(value) = value {
            out[name] = value.as_str().into();
        }
    }
    if let Some(usage) = &answer.usage {
        out["usage"] = spent(usage);
    }
    out.to_string().into()
}

/// The question to a server.
pub(super) fn body(ask: &Ask, model: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let delivery = ask.delivery.map(|delivery| match delivery {
        Delivery::Url => "url",
        Delivery::Base64 => "b64_json",
    });
    let fields: [(&str, Option<Value>); 10] = [
        ("model", Some(model.into())),
        ("prompt", Some(ask.prompt.as_str().into())),
        ("n", ask.count.map(Value::from)),
        ("size", ask.size.clone().map(Value::from)),
        ("quality", ask.quality.clone().map(Value::from)),
        ("style", ask.style.clone().map(Value::from)),
        ("background", ask.background.clone().map(Value::from)),
        ("output_format", ask.file.clone().map(Value::from)),
        ("response_format", delivery.map(Value::from)),
        ("user", ask.user.clone().map(Value::from)),
    ];
    out.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    out
}

/// The answer of a server.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value = json(body)?;
    let data = value["data"].as_array().ok_or_else(|| lacking(body, "data"))?;
    let images = data.iter().map(|one| {
        let text = |name: &str| one[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let data = text("b64_json").map(Data::Base64).or_else(|| text("url").map(Data::Url));
        let data = data.ok_or_else(|| Refusal::nonsense("a picture has neither `url` nor `b64_json`"))?;
        Ok(Image { data, revised: text("revised_prompt") })
    });
    Ok(Answer {
        created: value["created"].as_u64(),
        images: images.collect::<Result<_, Refusal>>()?,
        usage: usage_of(body),
    })
}
