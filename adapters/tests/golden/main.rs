//! Recorded shapes of every protocol and provider. Files under `tests/data/<name>/`; what is expected of each lies beside it.
//! `UPDATE_GOLDEN=1` writes the expectations anew: read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // the harness is made for tests: it stops on what it did not expect

mod anthropic;
mod completions;
mod dashscope;
mod declared;
mod declared_random;
mod envelope;
mod gemini;
mod harness;
mod junk;
mod media;
mod noise;
mod ollama;
mod openai;
mod openai_chat;
mod profiles;
mod qianfan;
mod random;
mod responses;
mod spark;
