//! What is known about providers' models: what they can do and what they cost. Tables beside each dialect; each row says
//! where it is from and of when.

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known<'a> {
    /// A model's name, or the beginning of several names followed by `*`. The longest that fits counts.
    pub name: &'a str,
    /// Tokens that question and answer may have together.
    pub context: u64,
    /// Tokens that an answer may have; 0 where the documents do not tell.
    pub output_max: u64,
    /// Whether it looks at pictures.
    pub vision: bool,
    /// Whether it calls tools.
    pub tools: bool,
    /// Whether its answers can be held to a JSON schema.
    pub json_schema: bool,
    /// What tokens cost, where that is published.
    pub price: Option<ListPrice<'a>>,
    /// Where that is published: an address.
    pub source: &'a str,
    /// When that was looked up: `2026-11`.
    pub date: &'a str,
}

/// A published price, in millionths of its currency for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPrice<'a> {
    /// ISO 4217, e.g. `USD` or `CNY`.
    pub currency: &'a str,
    /// For a million tokens read.
    pub prompt: u64,
    /// For a million tokens written.
    pub completion: u64,
}

impl ListPrice<'_> {
    /// In dollars of the United States.
    pub const fn usd(prompt: u64, completion: u64) -> Self {
        Self { currency: "USD", prompt, completion }
    }

    /// In renminbi.
    pub const fn cny(prompt: u64, completion: u64) -> Self {
        Self { currency: "CNY", prompt, completion }
    }
}

/// What is known about a model of this name.
pub fn find<'t, 'a>(table: &'t [Known<'a>], model: &str) -> Option<&'t Known<'a>> {
    let fits = |known: &&Known<'_>| match known.name.strip_suffix('*') {
        Some(start) => model.starts_with(start),
        None => model == known.name,
    };
    table.iter().filter(fits).max_by_key(|known| (known.name.len(), !known.name.ends_with('*')))
}
