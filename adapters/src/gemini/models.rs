//! What is known about Gemini's models.

use crate::models::{Known, ListPrice};

const PRICES: &str = "https://ai.google.dev/gemini-api/docs/pricing";
const DATE: &str = "2026-10";

/// A model that looks at pictures, calls tools and answers by schemas, as all that chat do; prices in cents of a US dollar
/// for a million tokens. Where they rise with the question's length, they are those of questions up to 200,000 tokens.
const fn chats(name: &'static str, prompt_cents: u64, completion_cents: u64) -> Known<'static> {
    Known {
        name,
        context: 1_048_576,
        output_max: 65_536,
        vision: true,
        tools: true,
        json_schema: true,
        price: Some(price(prompt_cents, completion_cents)),
        source: PRICES,
        date: DATE,
    }
}

const fn price(prompt_cents: u64, completion_cents: u64) -> ListPrice<'static> {
    ListPrice { currency: "USD", prompt: prompt_cents * 10_000, completion: completion_cents * 10_000 }
}

/// From Google's own pages, for paying accounts. Thoughts cost what is written costs.
pub(super) const GEMINI: &[Known] = &[
    // Until the end of 2026; twice as much after that.
    chats("gemini-3.8-flash*", 75, 375),
    chats("gemini-3.7-flash*", 75, 375),
    chats("gemini-3.6-flash*", 75, 375),
    chats("gemini-3.5-flash*", 150, 900),
    chats("gemini-3.5-flash-lite*", 30, 250),
    chats("gemini-3.1-pro*", 200, 1_200),
    chats("gemini-3.1-flash-lite*", 25, 150),
    chats("gemini-3-flash*", 50, 300),
    chats("gemini-2.5-pro*", 125, 1_000),
    chats("gemini-2.5-flash*", 30, 250),
    chats("gemini-2.5-flash-lite*", 10, 40),
    // What they draw and speak costs more, by prices that are not of tokens alone.
    Known { price: None, ..chats("gemini-2.5-flash-image*", 0, 0) },
    Known { price: None, ..chats("gemini-2.5-flash-preview-tts*", 0, 0) },
    Known { price: None, ..chats("gemini-2.5-pro-preview-tts*", 0, 0) },
    Known {
        name: "gemini-embedding-001",
        context: 2_048,
        output_max: 0,
        vision: false,
        tools: false,
        json_schema: false,
        price: Some(price(15, 0)),
        source: PRICES,
        date: DATE,
    },
];
