//! What a response consists of: its items, as they grow, and the events that tell of it. A whole answer is made of the same
//! pieces as one that comes bit by bit, so both end up as the same response.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::item::{Item, Said, What, logprob, thought, thought_part};
use crate::chat::{Answer, Delta, Finish, Part, TokenLogprob, ToolCall};

/// Who is told of events: their type and their fields.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&'static str, Value);

/// The items of a response.
pub(super) struct Items {
    /// A unique text, from which the items' ids are made.
    id: String,
    /// Whether thoughts are told as a summary, for clients that asked for one.
    summed: bool,
    /// Whether pieces of text wait for the probabilities of their tokens, which come after them.
    holds: bool,
    held: Option<String>,
    list: Vec<Item>,
    /// Where the calls of tools are among the items, in their order.
    calls: Vec<usize>,
}

impl Items {
    pub(super) fn new(id: &str, summed: bool, logprobs: bool) -> Self {
        Self { id: id.to_owned(), summed, holds: logprobs, held: None, list: Vec::new(), calls: Vec::new() }
    }

    /// All of them as they are now.
    pub(super) fn values(&self) -> Value {
        self.list.iter().map(|item| item.value(self.summed)).collect()
    }

    /// The next piece.
    pub(super) fn push(&mut self, delta: &Delta, tell: Tell<'_>) {
        if !matches!(delta, Delta::Logprobs(_)) {
            self.release(tell);
        }
        match delta {
            Delta::Text(text) if self.holds => self.held = Some(text.clone()),
            Delta::Text(text) => self.text(text, &[], tell),
            Delta::Logprobs(tokens) => self.logprobs(tokens, tell),
            Delta::Refusal(text) => self.refusal(text, tell),
            Delta::Thinking(text) => self.thinking(text, tell),
            Delta::Signature(of) => {
                let at = self.thoughts(true, tell);
                if let Some(What::Thoughts { signature, .. }) = self.what(at) {
                    signature.get_or_insert_default().push_str(of);
                }
            }
            Delta::ToolCall { id, name, .. } => {
                self.close_all(true, tell);
                let call = ToolCall { id: id.clone(), name: name.clone(), arguments: String::new() };
                let at = self.begin(What::Call(call), tell);
                self.calls.push(at);
            }
            Delta::Arguments { index, text } => self.arguments(*index, text, tell),
        }
    }

    /// The same for a whole answer, of which nobody is told bit by bit.
    pub(super) fn collect(&mut self, answer: &Answer) -> Finish {
        let nobody: Tell<'_> = &mut |_, _| {};
        let Some(choice) = answer.choices.first() else {
            return Finish::Stop;
        };
        let mut logprobs = choice.logprobs.clone();
        for part in &choice.parts {
            match part {
                Part::Text(text) => {
                    self.push(&Delta::Text(text.clone()), nobody);
                    if let Some(tokens) = logprobs.take() {
                        self.push(&Delta::Logprobs(tokens), nobody);
                    }
                }
                Part::Refusal(text) => self.push(&Delta::Refusal(text.clone()), nobody),
                Part::Thinking { text, signature } => {
                    self.close_all(true, nobody);
                    self.push(&Delta::Thinking(text.clone()), nobody);
                    if let Some(signature) = signature {
                        self.push(&Delta::Signature(signature.clone()), nobody);
                    }
                }
                Part::ToolCall(call) => {
                    let index = self.calls.len() as u32;
                    let (id, name) = (call.id.clone(), call.name.clone());
                    self.push(&Delta::ToolCall { index, id, name }, nobody);
                    self.push(&Delta::Arguments { index, text: call.arguments.clone() }, nobody);
                }
                // A model does not say such.
                Part::Image { .. } | Part::Audio(_) | Part::File { .. } | Part::ToolResult(_) => {}
            }
        }
        self.finish(&choice.finish, nobody);
        choice.finish.clone()
    }

    /// There is no more.
    pub(super) fn finish(&mut self, reason: &Finish, tell: Tell<'_>) {
        self.release(tell);
        let cut = matches!(reason, Finish::Length | Finish::Filtered);
        for item in &mut self.list {
            item.cut |= item.open && cut;
        }
        self.close_all(false, tell);
    }

    /// Tells the text that waited in vain.
    pub(super) fn release(&mut self, tell: Tell<'_>) {
        if let Some(text) = self.held.take() {
            self.text(&text, &[], tell);
        }
    }

    fn text(&mut self, more: &str, tokens: &[TokenLogprob], tell: Tell<'_>) {
        let (at, n) = self.said(Said::Text { text: String::new(), logprobs: Vec::new() }, tell);
        let told: Vec<Value> = tokens.iter().map(logprob).collect();
        if let Some(What::Message(said)) = self.what(at)
            && let Some(Said::Text { text, logprobs }) = said.get_mut(n)
        {
            text.push_str(more);
            logprobs.extend(told.iter().cloned());
        }
        let event = json!({ "content_index": n, "delta": more, "logprobs": told });
        self.tell(at, "response.output_text.delta", event, tell);
    }

    fn logprobs(&mut self, tokens: &[TokenLogprob], tell: Tell<'_>) {
        let held = self.held.take();
        let open = match self.list.last() {
            Some(Item { open: true, what: What::Message(said), .. }) => {
                matches!(said.last(), Some(Said::Text { .. }))
            }
            _ => false,
        };
        // Responses have no place for the tokens of thoughts, refusals and calls.
        if held.is_some() || open {
            self.text(held.as_deref().unwrap_or_default(), tokens, tell);
        }
    }

    fn refusal(&mut self, more: &str, tell: Tell<'_>) {
        let (at, n) = self.said(Said::Refusal(String::new()), tell);
        if let Some(What::Message(said)) = self.what(at)
            && let Some(Said::Refusal(text)) = said.get_mut(n)
        {
            text.push_str(more);
        }
        let event = json!({ "content_index": n, "delta": more });
        self.tell(at, "response.refusal.delta", event, tell);
    }

    fn thinking(&mut self, more: &str, tell: Tell<'_>) {
        let at = self.thoughts(false, tell);
        let Some(What::Thoughts { text, .. }) = self.what(at) else { return };
        let first = text.is_empty() && !more.is_empty();
        text.push_str(more);
        if more.is_empty() {
            return;
        }
        let summed = self.summed;
        if first {
            let kind =
                if summed { "response.reasoning_summary_part.added" } else { "response.content_part.added" };
            self.tell(at, kind, thought(summed, "part", thought_part(summed, "")), tell);
        }
        let kind =
            if summed { "response.reasoning_summary_text.delta" } else { "response.reasoning_text.delta" };
        self.tell(at, kind, thought(summed, "delta", more.into()), tell);
    }

    fn arguments(&mut self, index: u32, more: &str, tell: Tell<'_>) {
        let Some(&at) = self.calls.get(index as usize) else { return };
        let Some(item) = self.list.get_mut(at).filter(|item| item.open) else { return };
        if let (What::Call(call), false) = (&mut item.what, more.is_empty()) {
            call.arguments.push_str(more);
            self.tell(at, "response.function_call_arguments.delta", json!({ "delta": more }), tell);
        }
    }

    fn what(&mut self, at: usize) -> Option<&mut What> {
        self.list.get_mut(at).map(|item| &mut item.what)
    }

    /// Where such content goes: to the end of the message that is open, or into a new one.
    fn said(&mut self, empty: Said, tell: Tell<'_>) -> (usize, usize) {
        let open = matches!(self.list.last(), Some(Item { open: true, what: What::Message(_), .. }));
        if !open {
            self.close_all(true, tell);
            self.begin(What::Message(Vec::new()), tell);
        }
        let at = self.list.len().saturating_sub(1);
        let Some(What::Message(said)) = self.what(at) else { return (at, 0) };
        let n = said.len();
        if let Some(last) = said.last() {
            if std::mem::discriminant(last) == std::mem::discriminant(&empty) {
                return (at, n - 1);
            }
            self.close_said(at, tell);
        }
        let part = empty.value();
        if let Some(What::Message(said)) = self.what(at) {
            said.push(empty);
        }
        self.tell(at, "response.content_part.added", json!({ "content_index": n, "part": part }), tell);
        (at, n)
    }

    /// Where thoughts go: to those that are open, unless they were signed, or into a new item.
    fn thoughts(&mut self, signing: bool, tell: Tell<'_>) -> usize {
        let goes_on = match self.list.last() {
            Some(Item { open: true, what: What::Thoughts { signature, .. }, .. }) => {
                signing || signature.is_none()
            }
            _ => false,
        };
        if goes_on {
            return self.list.len().saturating_sub(1);
        }
        self.close_all(true, tell);
        self.begin(What::Thoughts { text: String::new(), signature: None }, tell)
    }

    fn begin(&mut self, what: What, tell: Tell<'_>) -> usize {
        let at = self.list.len();
        let kind = match &what {
            What::Message(_) => "msg",
            What::Thoughts { .. } => "rs",
            What::Call(_) => "fc",
        };
        let item = Item { id: format!("{kind}_{}{at:04x}", self.id), open: true, cut: false, what };
        tell("response.output_item.added", json!({ "output_index": at, "item": item.value(self.summed) }));
        self.list.push(item);
        at
    }

    /// Ends what is open. Calls may grow side by side: `but_calls` leaves those open that may get more, which are those
    /// whose arguments are not whole.
    fn close_all(&mut self, but_calls: bool, tell: Tell<'_>) {
        for at in 0..self.list.len() {
            let Some(item) = self.list.get_mut(at).filter(|item| item.open) else { continue };
            if let (What::Call(call), true) = (&item.what, but_calls)
                && serde_json::from_str::<IgnoredAny>(&call.arguments).is_err()
            {
                continue;
            }
            item.open = false;
            self.close(at, tell);
        }
    }

    fn close(&mut self, at: usize, tell: Tell<'_>) {
        let summed = self.summed;
        match self.list.get(at).map(|item| &item.what) {
            Some(What::Message(_)) => self.close_said(at, tell),
            Some(What::Thoughts { text, .. }) if !text.is_empty() => {
                let (text, part) = (Value::from(text.as_str()), thought_part(summed, text));
                let kinds = if summed {
                    ["response.reasoning_summary_text.done", "response.reasoning_summary_part.done"]
                } else {
                    ["response.reasoning_text.done", "response.content_part.done"]
                };
                self.tell(at, kinds[0], thought(summed, "text", text), tell);
                self.tell(at, kinds[1], thought(summed, "part", part), tell);
            }
            Some(What::Call(call)) => {
                let event = json!({ "name": call.name, "arguments": call.arguments });
                self.tell(at, "response.function_call_arguments.done", event, tell);
            }
            _ => {}
        }
        if let Some(item) = self.list.get(at) {
            tell("response.output_item.done", json!({ "output_index": at, "item": item.value(summed) }));
        }
    }

    /// Ends the last content of a message.
    fn close_said(&self, at: usize, tell: Tell<'_>) {
        let Some(Item { what: What::Message(said), .. }) = self.list.get(at) else { return };
        let Some(last) = said.last() else { return };
        let n = said.len() - 1;
        match last {
            Said::Text { text, logprobs } => {
                let event = json!({ "content_index": n, "text": text, "logprobs": logprobs });
                self.tell(at, "response.output_text.done", event, tell);
            }
            Said::Refusal(text) => {
                let event = json!({ "content_index": n, "refusal": text });
                self.tell(at, "response.refusal.done", event, tell);
            }
        }
        let event = json!({ "content_index": n, "part": last.value() });
        self.tell(at, "response.content_part.done", event, tell);
    }

    /// Tells of an event of an item.
    fn tell(&self, at: usize, kind: &'static str, mut event: Value, tell: Tell<'_>) {
        if let Some(item) = self.list.get(at) {
            event["item_id"] = item.id.as_str().into();
            event["output_index"] = at.into();
            tell(kind, event);
        }
    }
}
