//! What is known about Anthropic's models, from its own pages.

use crate::models::{Known, ListPrice};

/// The page that compares the models of today.
const OVERVIEW: &str = "https://platform.claude.com/docs/en/models/overview";
/// The page with the prices of all models.
const PRICING: &str = "https://platform.claude.com/docs/en/about-claude/pricing";

/// A model that sees, calls tools and has a price in tenths of US dollars for a million tokens.
const fn known(
    name: &'static str,
    (context, output_max): (u64, u64),
    (prompt, completion): (u64, u64),
    json_schema: bool,
    (source, date): (&'static str, &'static str),
) -> Known<'static> {
    Known {
        name,
        context,
        output_max,
        vision: true,
        tools: true,
        json_schema,
        price: Some(ListPrice {
            currency: "USD",
            prompt: prompt * 100_000,
            completion: completion * 100_000,
        }),
        source,
        date,
    }
}

const LARGE: (u64, u64) = (1_000_000, 128_000);
const MEDIUM: (u64, u64) = (200_000, 64_000);
const NOW: (&str, &str) = (OVERVIEW, "2026-11");
const BEFORE: (&str, &str) = (PRICING, "2026-10");

/// Anthropic's models that can still be called, newest first. Haiku 5.5 costs five times as much for questions of more than
/// 100 000 tokens.
pub(super) const MODELS: &[Known] = &[
    known("claude-fable-5-2*", LARGE, (80, 400), true, NOW),
    known("claude-opus-5-5*", LARGE, (40, 200), true, NOW),
    known("claude-sonnet-5-5*", LARGE, (20, 100), true, NOW),
    known("claude-haiku-5-5*", LARGE, (1, 5), true, NOW),
    known("claude-fable-5*", LARGE, (100, 500), true, BEFORE),
    known("claude-mythos-5*", LARGE, (100, 500), true, BEFORE),
    known("claude-opus-5*", LARGE, (50, 250), true, BEFORE),
    known("claude-sonnet-5*", LARGE, (20, 100), true, BEFORE),
    known("claude-opus-4-8*", LARGE, (50, 250), true, BEFORE),
    known("claude-opus-4-7*", LARGE, (50, 250), true, BEFORE),
    known("claude-opus-4-6*", LARGE, (50, 250), true, BEFORE),
    known("claude-sonnet-4-6*", LARGE, (30, 150), true, BEFORE),
    known("claude-opus-4-5*", MEDIUM, (50, 250), true, BEFORE),
    known("claude-sonnet-4-5*", MEDIUM, (30, 150), true, BEFORE),
    known("claude-haiku-4-5*", MEDIUM, (10, 50), true, BEFORE),
];
