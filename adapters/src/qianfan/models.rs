//! What is known about the models on Qianfan's first interface.

use crate::models::{Known, ListPrice};

/// Where Baidu publishes what tokens cost.
const SOURCE: &str = "https://cloud.baidu.com/doc/WENXINWORKSHOP/s/hlrk4akp7";

/// A price in thousandths of a yuan for a million tokens.
const fn cny(prompt: u64, completion: u64) -> Option<ListPrice<'static>> {
    Some(ListPrice { currency: "CNY", prompt: prompt * 1_000, completion: completion * 1_000 })
}

const fn row(
    name: &'static str,
    context: u64,
    output_max: u64,
    tools: bool,
    price: Option<ListPrice<'static>>,
) -> Known<'static> {
    Known {
        name,
        context,
        output_max,
        vision: false,
        tools,
        json_schema: false,
        price,
        source: SOURCE,
        date: "2025-02",
    }
}

/// Prices are those for single calls, without packages. What is not known for certain has none.
pub(super) const KNOWN: &[Known] = &[
    row("ERNIE-4.0-8K*", 8_192, 2_048, true, cny(30_000, 90_000)),
    row("ERNIE-4.0-Turbo-8K*", 8_192, 2_048, true, cny(20_000, 60_000)),
    row("ERNIE-4.0-Turbo-128K*", 131_072, 4_096, true, cny(20_000, 60_000)),
    row("ERNIE-3.5-8K*", 8_192, 2_048, true, cny(800, 2_000)),
    row("ERNIE-3.5-128K*", 131_072, 4_096, true, cny(800, 2_000)),
    row("ERNIE-Speed-8K", 8_192, 2_048, false, cny(0, 0)),
    row("ERNIE-Speed-128K", 131_072, 4_096, false, cny(0, 0)),
    row("ERNIE-Speed-Pro-128K", 131_072, 4_096, false, cny(300, 600)),
    row("ERNIE-Lite-8K*", 8_192, 2_048, false, cny(0, 0)),
    row("ERNIE-Lite-Pro-128K", 131_072, 4_096, true, cny(200, 400)),
    row("ERNIE-Tiny-8K", 8_192, 2_048, false, cny(0, 0)),
    row("ERNIE-Functions-8K*", 8_192, 2_048, true, None),
    row("ERNIE-Character-*", 8_192, 2_048, false, cny(4_000, 8_000)),
    row("ERNIE-Novel-8K", 8_192, 2_048, false, cny(40_000, 120_000)),
    row("Embedding-V1", 384, 0, false, None),
    row("bge-large-*", 512, 0, false, None),
    row("tao-8k", 8_192, 0, false, None),
];
