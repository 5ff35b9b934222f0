//! A chat as every protocol means it: the form between what clients speak and what providers speak. A client's protocol
//! decodes into an [`Ask`] and encodes an [`Answer`] or [`Event`]s; a provider's dialect does the reverse. What both sides
//! know has a place here. What only one side can say is a [`Feature`], refused by name where the other cannot.

mod answer;
mod ask;
mod event;
mod feature;

pub use answer::{Answer, Choice, Finish, TokenLogprob, TopLogprob};
pub use ask::{
    Ask, Format, Message, Part, Reasoning, Role, Sampling, Source, Tool, ToolCall, ToolChoice, ToolResult,
};
pub use event::{Collector, Delta, Event};
pub use feature::Feature;
