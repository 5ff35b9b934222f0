//! The built-in mock: answers that need no model, no network and no time, and that are the same bytes for the same
//! request. For development, for clients' own tests, for the simulator. A request scripts it with a field `mock`; see
//! [`Wish`]. It only says what is to be sent and when; the caller waits and sends.

mod ask;
mod instance;
mod script;
mod shape;
mod text;

pub use ask::{CHUNKS_MAX, DELAY_MS_MAX, Wish};
pub use script::{Script, Step};

use crate::call::Operation;

/// What the mock answers to this body. A body that makes no sense is answered with an error, as a server would.
pub fn answer(operation: Operation, body: &[u8]) -> Script {
    let ask = match ask::Ask::parse(body) {
        Ok(ask) => ask,
        Err(reason) => return Script::refusal(400, &reason, None, &ask::Wish::default()),
    };
    let wish = ask.mock.clone().unwrap_or_default();
    if let Some(status) = wish.status.filter(|status| !(200..300).contains(status)) {
        return Script::refusal(status, "this error was asked for by the request", wish.retry_after, &wish);
    }
    let stamp = shape::Stamp::of(operation, &ask, body);
    match operation {
        Operation::Chat | Operation::Completions => {
            let reply = text::reply(operation, &ask, &wish);
            Script::reply(stamp, reply, &ask, wish)
        }
        Operation::Embeddings => match shape::embeddings(&stamp, &ask) {
            Ok(body) => Script::whole(body, &wish),
            Err(reason) => Script::refusal(400, &reason, None, &wish),
        },
        Operation::Models => Script::whole(shape::models(), &wish),
        other => {
            let reason = format!("the mock does not offer {}", other.as_str());
            Script::refusal(404, &reason, None, &wish)
        }
    }
}

#[cfg(test)]
mod tests;
