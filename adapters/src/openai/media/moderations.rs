//! `/v1/moderations`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{lacking, rest};
use crate::call::{Call, Error};
use crate::client::About;
use crate::dialect::Refusal;
use crate::media::json;
use crate::media::moderate::{Answer, Ask, Category, Judged, Piece};
use crate::read::Fields;

/// Texts, or pieces, of one call at most.
const INPUTS_MAX: usize = 2_048;

/// The question of a body: a text, texts, of which each is judged, or pieces that are judged together.
///
/// # Errors
/// When a field is missing or of the wrong type.
pub(crate) fn ask(call: &Call) -> Result<Ask, Error> {
    let mut fields = Fields::body(&call.body)?;
    let inputs = match fields.take("input") {
        Some(Value::String(text)) => vec![vec![Piece::Text(text)]],
        Some(Value::Array(list)) if list.is_empty() || list.len() > INPUTS_MAX => {
            return Err(fields.wrong("input", format!("must have 1 to {INPUTS_MAX} texts")));
        }
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => {
            let pieces = list.into_iter().enumerate();
            let pieces =
                pieces.map(|(n, value)| piece(Fields::of(value, fields.path(format!("input[{n}]")))?));
            vec![pieces.collect::<Result<_, Error>>()?]
        }
        Some(Value::Array(list)) => {
            let texts = list.into_iter().enumerate().map(|(n, value)| match value {
                Value::String(text) => Ok(vec![Piece::Text(text)]),
                _ => Err(Error::field(format!("input[{n}]"), "must be a string, as the others are")),
            });
            texts.collect::<Result<_, Error>>()?
        }
        _ => return Err(fields.wrong("input", "must be a string or a list")),
    };
    Ok(Ask { model: fields.need_text("model")?, inputs, rest: rest(fields) })
}

fn piece(mut fields: Fields) -> Result<Piece, Error> {
    match fields.need_text("type")?.as_str() {
        "text" => Ok(Piece::Text(fields.need_text("text")?)),
        "image_url" => {
            let missing = fields.wrong("image_url", "is missing: it must be an object with a `url`");
            let mut image = fields.object("image_url")?.ok_or(missing)?;
            Ok(Piece::Image(image.need_text("url")?))
        }
        _ => Err(fields.wrong("type", "must be text or image_url")),
    }
}

/// The answer to a client.
pub(crate) fn answer(ask: &Ask, answer: &Answer, about: &About) -> Bytes {
    let results = answer.results.iter().map(|judged| {
        let (mut categories, mut scores, mut kinds) = (Map::new(), Map::new(), Map::new());
        for category in &judged.categories {
            categories.insert(category.name.clone(), category.flagged.into());
            if let Some(score) = category.score {
                scores.insert(category.name.clone(), score.into());
            }
            if !category.kinds.is_empty() {
                kinds.insert(category.name.clone(), category.kinds.clone().into());
            }
        }
        let mut one =
            json!({ "flagged": judged.flagged, "categories": categories, "category_scores": scores });
        if !kinds.is_empty() {
            one["category_applied_input_types"] = kinds.into();
        }
        one
    });
    let results: Vec<Value> = results.collect();
    let id = if answer.id.is_empty() { format!("modr-{}", about.id) } else { answer.id.clone() };
    let model = if answer.model.is_empty() { &ask.model } else { &answer.model };
    json!({ "id": id, "model": model, "results": results }).to_string().into()
}

/// The question to a server.
pub(super) fn body(ask: &Ask, model: &str) -> Map<String, Value> {
    let value = |piece: &Piece| match piece {
        Piece::Text(text) => json!({ "type": "text", "text": text }),
        Piece::Image(url) => json!({ "type": "image_url", "image_url": { "url": url } }),
    };
    let input = match ask.inputs.as_slice() {
        [one] => match one.as_slice() {
            [Piece::Text(text)] => text.as_str().into(),
            pieces => pieces.iter().map(value).collect(),
        },
        many => many
            .iter()
            .map(|one| match one.as_slice() {
                [Piece::Text(text)] => Value::from(text.as_str()),
                pieces => pieces.iter().map(value).collect(),
            })
            .collect::<Value>(),
    };
    let mut out = Map::new();
    out.insert("model".to_owned(), model.into());
    out.insert("input".to_owned(), input);
    out
}

/// The answer of a server.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value = json(body)?;
    let results = value["results"].as_array().ok_or_else(|| lacking(body, "results"))?;
    let results = results.iter().map(|one| {
        let flagged =
            one["flagged"].as_bool().ok_or_else(|| Refusal::nonsense("a result has no `flagged`"))?;
        let categories = one["categories"].as_object().into_iter().flatten().map(|(name, wrong)| {
            let kinds = one["category_applied_input_types"][name].as_array().into_iter().flatten();
            Category {
                name: name.clone(),
                flagged: wrong.as_bool().unwrap_or(false),
                score: one["category_scores"][name].as_f64(),
                kinds: kinds.filter_map(|kind| kind.as_str().map(str::to_owned)).collect(),
            }
        });
        Ok(Judged { flagged, categories: categories.collect() })
    });
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Ok(Answer { id: text("id"), model: text("model"), results: results.collect::<Result<_, Refusal>>()? })
}
