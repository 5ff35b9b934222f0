//! Providers that speak OpenAI's dialect with ways of their own, each as data.

pub(crate) mod azure;
mod dashscope;
mod deepseek;
mod moonshot;
mod qianfan;
mod spark;
pub(crate) mod zhipu;

pub use azure::AZURE;
pub use dashscope::DASHSCOPE;
pub use deepseek::DEEPSEEK;
pub use moonshot::MOONSHOT;
pub use qianfan::QIANFAN;
pub use spark::SPARK;
pub use zhipu::ZHIPU;

use serde_json::Value;

use crate::openai::ErrorBody;

/// The error in an answer of which a choice ended by one of these words: they say that the provider broke it off.
fn broken_off(value: &Value, words: &[&str]) -> Option<ErrorBody> {
    let choices = value["choices"].as_array()?;
    let mut told = choices.iter().filter_map(|choice| choice["finish_reason"].as_str());
    let word = told.find(|word| words.contains(word))?;
    Some(ErrorBody {
        message: format!("the provider broke the answer off ({word}): try again"),
        kind: Some("server_error".to_owned()),
        param: None,
        code: Some(word.to_owned()),
    })
}
