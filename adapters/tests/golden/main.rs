//! Recorded shapes of every protocol and provider. Files under `tests/data/<name>/`; what is expected of each lies beside it.
//! `UPDATE_GOLDEN=1` writes the expectations anew: read the difference before committing it.

mod completions;
mod envelope;
mod gemini;
mod anthropic;
mod dashscope;
mod harness;
mod junk;
mod ollama;
mod openai;
mod openai_chat;
mod responses;
mod random;
mod noise;
mod openai;
mod openai_chat;
mod qianfan;
mod spark;
