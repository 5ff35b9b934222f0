//! What is known about OpenAI's models.

use crate::models::{Known, ListPrice};

const GPT_5: Known = Known {
    name: "gpt-5",
    context: 400_000,
    output_max: 128_000,
    vision: true,
    tools: true,
    json_schema: true,
    price: Some(ListPrice::usd(1_250_000, 10_000_000)),
    source: "https://developers.openai.com/api/docs/pricing",
    date: "2026-11",
};

/// Of the newer ones, with the price of questions up to 272,000 tokens: longer ones cost more.
const LONG: Known = Known {
    name: "gpt-5.5*",
    context: 1_050_000,
    price: Some(ListPrice::usd(5_000_000, 30_000_000)),
    ..GPT_5
};

const GPT_4_1: Known = Known {
    name: "gpt-4.1*",
    context: 1_047_576,
    output_max: 32_768,
    price: Some(ListPrice::usd(2_000_000, 8_000_000)),
    source: "https://developers.openai.com/api/docs/models/gpt-4.1",
    date: "2026-04",
    ..GPT_5
};

const GPT_4O: Known = Known {
    name: "gpt-4o",
    context: 128_000,
    output_max: 16_384,
    price: Some(ListPrice::usd(2_500_000, 10_000_000)),
    source: "https://developers.openai.com/api/docs/models/gpt-4o",
    date: "2026-04",
    ..GPT_5
};

const O3: Known = Known {
    name: "o3",
    context: 200_000,
    output_max: 100_000,
    price: Some(ListPrice::usd(2_000_000, 8_000_000)),
    source: "https://developers.openai.com/api/docs/models/o3",
    date: "2026-04",
    ..GPT_5
};

const EMBEDDING: Known = Known {
    name: "text-embedding-3-small",
    context: 8_192,
    output_max: 0,
    vision: false,
    tools: false,
    json_schema: false,
    price: Some(ListPrice::usd(20_000, 0)),
    source: "https://developers.openai.com/api/docs/models/text-embedding-3-small",
    date: "2026-04",
};

/// Names are no longer than is known: a model that is only called alike may cost anything. Prices that could not be found, or
/// that changed several times since the model came, are left out.
pub(super) const OPENAI: &[Known] = &[
    Known {
        name: "gpt-6-astra*",
        price: Some(ListPrice::usd(10_000_000, 50_000_000)),
        source: "https://developers.openai.com/api/docs/models/gpt-6-astra",
        ..LONG
    },
    Known { name: "gpt-5.6*", price: None, ..LONG },
    LONG,
    Known { name: "gpt-5.5-pro*", price: Some(ListPrice::usd(30_000_000, 180_000_000)), ..LONG },
    Known { name: "gpt-5.4*", price: Some(ListPrice::usd(2_500_000, 15_000_000)), ..LONG },
    Known { name: "gpt-5.4-pro*", price: Some(ListPrice::usd(30_000_000, 180_000_000)), ..LONG },
    Known { name: "gpt-5.4-mini*", price: Some(ListPrice::usd(750_000, 4_500_000)), ..GPT_5 },
    Known { name: "gpt-5.4-nano*", price: None, ..GPT_5 },
    Known { name: "gpt-5.3*", price: None, ..GPT_5 },
    Known { name: "gpt-5.2*", price: Some(ListPrice::usd(1_750_000, 14_000_000)), ..GPT_5 },
    Known { name: "gpt-5.2-pro*", price: None, ..GPT_5 },
    Known { name: "gpt-5.1*", ..GPT_5 },
    GPT_5,
    Known { name: "gpt-5-2025-*", ..GPT_5 },
    Known { name: "gpt-5-pro*", price: None, ..GPT_5 },
    Known { name: "gpt-5-mini*", price: Some(ListPrice::usd(250_000, 2_000_000)), ..GPT_5 },
    Known { name: "gpt-5-nano*", price: Some(ListPrice::usd(50_000, 400_000)), ..GPT_5 },
    GPT_4_1,
    Known { name: "gpt-4.1-mini*", price: Some(ListPrice::usd(400_000, 1_600_000)), ..GPT_4_1 },
    Known { name: "gpt-4.1-nano*", price: Some(ListPrice::usd(100_000, 400_000)), ..GPT_4_1 },
    GPT_4O,
    Known { name: "gpt-4o-2024-*", ..GPT_4O },
    Known { name: "gpt-4o-2024-05-13", price: Some(ListPrice::usd(5_000_000, 15_000_000)), ..GPT_4O },
    Known { name: "gpt-4o-mini", price: Some(ListPrice::usd(150_000, 600_000)), ..GPT_4O },
    Known { name: "gpt-4o-mini-2024-*", price: Some(ListPrice::usd(150_000, 600_000)), ..GPT_4O },
    O3,
    Known { name: "o3-2025-*", ..O3 },
    Known { name: "o3-pro*", price: Some(ListPrice::usd(20_000_000, 80_000_000)), ..O3 },
    Known { name: "o3-mini*", vision: false, price: Some(ListPrice::usd(1_100_000, 4_400_000)), ..O3 },
    Known { name: "o4-mini", price: Some(ListPrice::usd(1_100_000, 4_400_000)), ..O3 },
    Known { name: "o4-mini-2025-*", price: Some(ListPrice::usd(1_100_000, 4_400_000)), ..O3 },
    Known { name: "o1", price: Some(ListPrice::usd(15_000_000, 60_000_000)), ..O3 },
    EMBEDDING,
    Known { name: "text-embedding-3-large", price: Some(ListPrice::usd(130_000, 0)), ..EMBEDDING },
    Known { name: "text-embedding-ada-002", price: Some(ListPrice::usd(100_000, 0)), ..EMBEDDING },
];
