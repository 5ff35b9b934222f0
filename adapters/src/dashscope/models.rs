//! What is known about the models on DashScope.

use crate::models::{Known, ListPrice};

/// Where Alibaba publishes its models and their prices.
const SOURCE: &str = "https://help.aliyun.com/zh/model-studio/models";

/// A price in thousandths of a yuan for a million tokens.
const fn cny(prompt: u64, completion: u64) -> Option<ListPrice<'static>> {
    Some(ListPrice { currency: "CNY", prompt: prompt * 1_000, completion: completion * 1_000 })
}

const fn text(
    name: &'static str,
    context: u64,
    output_max: u64,
    price: Option<ListPrice<'static>>,
) -> Known<'static> {
    Known {
        name,
        context,
        output_max,
        vision: false,
        tools: true,
        json_schema: false,
        price,
        source: SOURCE,
        date: "2025-11",
    }
}

const fn vision(
    name: &'static str,
    context: u64,
    output_max: u64,
    price: Option<ListPrice<'static>>,
) -> Known<'static> {
    Known { vision: true, ..text(name, context, output_max, price) }
}

/// Looks, but calls no tools.
const fn looking(
    name: &'static str,
    context: u64,
    output_max: u64,
    price: Option<ListPrice<'static>>,
) -> Known<'static> {
    Known { tools: false, ..vision(name, context, output_max, price) }
}

const fn embedding(name: &'static str, context: u64) -> Known<'static> {
    Known { tools: false, ..text(name, context, 0, None) }
}

/// Prices are those of the mainland of China, without discounts, for short questions: some models cost more from 32 or 128
/// thousand tokens on, and some when they think. What is not known for certain has none.
pub(super) const KNOWN: &[Known] = &[
    text("qwen3-max*", 262_144, 65_536, cny(3_200, 12_800)),
    text("qwen3-max-preview", 262_144, 65_536, cny(6_000, 24_000)),
    text("qwen-max*", 131_072, 8_192, cny(2_400, 9_600)),
    Known { json_schema: true, ..text("qwen-plus*", 1_000_000, 32_768, cny(800, 2_000)) },
    text("qwen-flash*", 1_000_000, 32_768, cny(150, 1_500)),
    text("qwen-turbo*", 1_000_000, 16_384, cny(300, 600)),
    text("qwen-long*", 10_000_000, 8_192, cny(500, 2_000)),
    text("qwq-plus*", 131_072, 8_192, cny(1_600, 4_000)),
    text("qwen3-coder-plus*", 1_000_000, 65_536, cny(4_000, 16_000)),
    text("qwen3-coder-flash*", 1_000_000, 65_536, cny(1_000, 4_000)),
    text("qwen3-*", 131_072, 16_384, None),
    looking("qwen-vl-max*", 131_072, 8_192, cny(1_600, 4_000)),
    looking("qwen-vl-plus*", 131_072, 8_192, cny(800, 2_000)),
    looking("qwen-vl-*", 32_768, 2_048, None),
    looking("qwen2-vl-*", 32_768, 2_048, None),
    looking("qwen2.5-vl-*", 131_072, 8_192, None),
    vision("qwen3-vl-plus*", 262_144, 32_768, cny(1_000, 10_000)),
    vision("qwen3-vl-*", 262_144, 32_768, None),
    vision("qwen3.5-*", 262_144, 65_536, None),
    vision("qwen3.6-*", 262_144, 65_536, None),
    looking("qvq-max*", 131_072, 8_192, cny(8_000, 32_000)),
    looking("qvq-plus*", 131_072, 8_192, cny(2_000, 5_000)),
    looking("qvq-*", 131_072, 8_192, None),
    embedding("text-embedding-v1", 2_048),
    embedding("text-embedding-v2", 2_048),
    embedding("text-embedding-v3", 8_192),
    embedding("text-embedding-v4", 8_192),
];
