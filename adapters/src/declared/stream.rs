//! An answer in pieces, by paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Wrong;
use super::declaration::{End, Framing, Pieces};
use super::errors::Faults;
use super::path::{Path, word};
use super::reading::{CALLS_MAX, CHOICES_MAX, CallReader, Reader};
use crate::chat::{Delta, Event, Finish};
use crate::dialect::{Decoder, Refusal};
use crate::frames::{FRAME_LEN_MAX, Lines, Sse};

/// Readers, kinds and words at most, each.
const ENTRIES_MAX: usize = 32;

/// Bytes of what tells calls apart, at most.
const KEY_LEN_MAX: usize = 256;

/// How pieces are read.
#[derive(Debug)]
pub(super) struct Plan {
    framing: Framing,
    kind: Option<Path>,
    reads: Vec<(Vec<String>, Reader)>,
    end: Ending,
    cumulative: bool,
    error_kinds: Vec<String>,
}

#[derive(Debug)]
enum Ending {
    Data(String),
    Kind(String),
    Field(Path, Value),
    Close,
}

impl Plan {
    pub(super) fn new(said: &Pieces, at: &str) -> Result<Self, Wrong> {
        let path = |text: &String, name: &str| Path::parse(text, &format!("{at}.{name}"));
        if said.reads.len() > ENTRIES_MAX || said.error_kinds.len() > ENTRIES_MAX {
            return Err(Wrong::new(format!("{at}.reads"), "has too many entries: 32 at most"));
        }
        let reads = said.reads.iter().enumerate().map(|(n, one)| {
            if one.on.len() > ENTRIES_MAX {
                return Err(Wrong::new(format!("{at}.reads[{n}].on"), "has too many entries: 32 at most"));
            }
            Ok((one.on.clone(), Reader::new(&one.read, &format!("{at}.reads[{n}].read"))?))
        });
        let reads: Vec<(Vec<String>, Reader)> = reads.collect::<Result<_, _>>()?;
        if !reads.iter().any(|(_, reader)| reader.says_something()) {
            return Err(Wrong::new(format!("{at}.reads"), "must read `text` or `calls` somewhere"));
        }
        let end = match &said.end {
            End::Data(text) => Ending::Data(text.clone()),
            End::Kind(kind) => Ending::Kind(kind.clone()),
            End::Field { at: place, is } => Ending::Field(path(place, "end.field.at")?, is.clone()),
            End::Close if !reads.iter().any(|(_, reader)| reader.tells_end()) => {
                let hint = "`close` needs a `finish` in reads: else nothing tells an end from a cut";
                return Err(Wrong::new(format!("{at}.end"), hint));
            }
            End::Close => Ending::Close,
        };
        let kinds = said.framing == Framing::Sse || said.kind.is_some();
        let needs = matches!(end, Ending::Kind(_))
            || !said.error_kinds.is_empty()
            || reads.iter().any(|(on, _)| !on.is_empty());
        if needs && !kinds {
            return Err(Wrong::new(format!("{at}.kind"), "is missing: lines have no names of their own"));
        }
        Ok(Self {
            framing: said.framing,
            kind: said.kind.as_ref().map(|text| path(text, "kind")).transpose()?,
            reads,
            end,
            cumulative: said.cumulative,
            error_kinds: said.error_kinds.clone(),
        })
    }

    /// The content type that is wanted.
    pub(super) fn content_type(&self) -> &'static str {
        match self.framing {
            Framing::Sse => crate::openai::EVENT_STREAM,
            Framing::Ndjson => "application/x-ndjson",
        }
    }
}

/// Reads pieces.
pub(super) struct PieceDecoder {
    sse: Sse,
    lines: Lines,
    state: State,
}

struct State {
    plan: Arc<Plan>,
    faults: Arc<Faults>,
    begun: bool,
    over: bool,
    choices: BTreeMap<u32, Progress>,
}

#[derive(Default)]
struct Progress {
    finished: bool,
    text: String,
    thinking: String,
    refusal: String,
    /// By what tells them apart.
    calls: BTreeMap<String, Call>,
    /// Calls that were told.
    told: u32,
}

/// A call of a tool, which is told once its name is known.
#[derive(Default)]
struct Call {
    index: Option<u32>,
    id: String,
    /// Arguments that came before the name, or all of them where they are told from their beginning each time.
    arguments: String,
}

impl PieceDecoder {
    pub(super) fn new(plan: Arc<Plan>, faults: Arc<Faults>) -> Self {
        let state = State { plan, faults, begun: false, over: false, choices: BTreeMap::new() };
        Self { sse: Sse::default(), lines: Lines::default(), state }
    }
}

impl Decoder for PieceDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { sse, lines, state } = self;
        match state.plan.framing {
            Framing::Sse => sse.push(bytes, |name, data| state.piece(name, data, out)),
            Framing::Ndjson => lines.push(bytes, |line| state.piece("", line, out)),
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        let Self { lines, state, .. } = self;
        lines.finish(|line| state.piece("", line, out));
        let ended = !state.choices.is_empty() && state.choices.values().all(|choice| choice.finished);
        if matches!(state.plan.end, Ending::Close) && ended && !std::mem::replace(&mut state.over, true) {
            out.push(Event::Done);
        }
    }
}

impl State {
    fn piece(&mut self, name: &str, data: &[u8], out: &mut Vec<Event>) {
        let data = data.trim_ascii();
        if self.over || data.is_empty() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        if matches!(&plan.end, Ending::Data(text) if text.as_bytes() == data) {
            return self.done(out);
        }
        let Ok(value) = serde_json::from_slice::<Value>(data) else {
            return self.fail(Refusal::nonsense("an event is no JSON"), out);
        };
        let kind = match &plan.kind {
            Some(path) => path.first(&value, &value).and_then(word).unwrap_or_default(),
            None => name.to_owned(),
        };
        let failed = match plan.error_kinds.contains(&kind) {
            true => Some(
                self.faults.told(&value, None).unwrap_or_else(|| Refusal::nonsense("an error has no words")),
            ),
            false => self.faults.found(&value),
        };
        if let Some(refusal) = failed {
            return self.fail(refusal, out);
        }
        for (on, reader) in &plan.reads {
            if (on.is_empty() || on.contains(&kind))
                && let Err(refusal) = self.read(reader, &value, out)
            {
                return self.fail(refusal, out);
            }
        }
        let ends = match &plan.end {
            Ending::Kind(last) => *last == kind,
            Ending::Field(path, is) => path.first(&value, &value) == Some(is),
            Ending::Data(_) | Ending::Close => false,
        };
        if ends {
            self.done(out);
        }
    }

    fn fail(&mut self, refusal: Refusal, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Error(refusal.error));
    }

    /// The provider has said all. Some do not say why a choice ended.
    fn done(&mut self, out: &mut Vec<Event>) {
        self.over = true;
        if self.choices.values().any(Progress::is_nameless) {
            return self.fail(Refusal::nonsense("the call of a tool has no name"), out);
        }
        for (choice, progress) in &self.choices {
            if !progress.finished {
                let reason = if progress.told > 0 { Finish::Tools } else { Finish::Stop };
                out.push(Event::Finish { choice: *choice, reason });
            }
        }
        out.push(Event::Done);
    }

    fn read(&mut self, reader: &Reader, root: &Value, out: &mut Vec<Event>) -> Result<(), Refusal> {
        if !std::mem::replace(&mut self.begun, true) {
            let id = reader.id.word(root, root).unwrap_or_default();
            out.push(Event::Begin { id, model: reader.model.word(root, root).unwrap_or_default() });
        }
        for (n, here) in reader.choices(root).unwrap_or_default().into_iter().enumerate() {
            let index = here.get("index").filter(|_| !std::ptr::eq(here, root)).and_then(Value::as_u64);
            let index = index.and_then(|index| usize::try_from(index).ok()).unwrap_or(n);
            if index >= CHOICES_MAX {
                return Err(Refusal::nonsense("it has more choices than anybody asked for"));
            }
            let choice = index as u32;
            let progress = self.choices.entry(choice).or_default();
            progress.read(reader, here, root, self.plan.cumulative, &mut |delta| {
                out.push(Event::Delta { choice, delta });
            })?;
            if !progress.finished
                && let Some(reason) = reader.ended(here, root, progress.told > 0)?
            {
                progress.finished = true;
                if progress.is_nameless() {
                    return Err(Refusal::nonsense("the call of a tool has no name"));
                }
                out.push(Event::Finish { choice, reason });
            }
        }
        out.extend(reader.usage(root).map(Event::Usage));
        Ok(())
    }
}

impl Progress {
    fn is_nameless(&self) -> bool {
        self.calls.values().any(|call| call.index.is_none())
    }

    fn read(
        &mut self,
        reader: &Reader,
        here: &Value,
        root: &Value,
        cumulative: bool,
        tell: &mut impl FnMut(Delta),
    ) -> Result<(), Refusal> {
        if let Some(text) = reader.thinking.words(here, root)
            && let Some(more) = piece(text, &mut self.thinking, cumulative)?
        {
            tell(Delta::Thinking(more));
        }
        if let Some(text) = reader.text.words(here, root)
            && let Some(more) = piece(text, &mut self.text, cumulative)?
        {
            tell(Delta::Text(more));
        }
        if let Some(text) = reader.refusal.words(here, root)
            && let Some(more) = piece(text, &mut self.refusal, cumulative)?
        {
            tell(Delta::Refusal(more));
        }
        if let Some(tokens) = reader.logprobs(here, root).filter(|tokens| !tokens.is_empty()) {
            tell(Delta::Logprobs(tokens));
        }
        if let Some(calls) = &reader.calls {
            for call in calls.list(here, root) {
                self.call(calls, call, root, cumulative, tell)?;
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        reader: &CallReader,
        value: &Value,
        root: &Value,
        cumulative: bool,
        tell: &mut impl FnMut(Delta),
    ) -> Result<(), Refusal> {
        // Digits alone are the provider's indices; a call without one is told apart by its place.
        let key = reader.index.word(value, root).unwrap_or_else(|| format!("#{}", self.calls.len()));
        if key.len() > KEY_LEN_MAX || (!self.calls.contains_key(&key) && self.calls.len() >= CALLS_MAX) {
            return Err(Refusal::nonsense("it calls more tools than there can be"));
        }
        let call = self.calls.entry(key).or_default();
        if call.id.is_empty() {
            call.id = reader.id.word(value, root).unwrap_or_default();
        }
        let arguments = reader.arguments(value, root);
        let mut more = String::new();
        if !arguments.is_empty() {
            more = piece(arguments, &mut call.arguments, cumulative)?.unwrap_or_default();
        }
        let name = reader.name.word(value, root);
        if let (None, Some(name)) = (call.index, name) {
            let index = self.told;
            self.told += 1;
            call.index = Some(index);
            let id = if call.id.is_empty() { format!("call_{index}") } else { call.id.clone() };
            tell(Delta::ToolCall { index, id, name });
            if !cumulative {
                more.insert_str(0, &std::mem::take(&mut call.arguments));
            } else {
                more.clone_from(&call.arguments);
            }
        }
        match call.index {
            Some(index) if !more.is_empty() => tell(Delta::Arguments { index, text: more }),
            Some(_) => {}
            None if cumulative => {}
            None if call.arguments.len() + more.len() > FRAME_LEN_MAX => {
                return Err(Refusal::nonsense("the call of a tool has no name"));
            }
            None => call.arguments.push_str(&more),
        }
        Ok(())
    }
}

/// What a piece adds to what was told; texts that are told from their beginning each time are kept until then.
fn piece(text: String, told: &mut String, cumulative: bool) -> Result<Option<String>, Refusal> {
    if !cumulative {
        return Ok(Some(text));
    }
    let Some(more) = text.strip_prefix(told.as_str()) else {
        return Err(Refusal::nonsense("it takes back what it said before"));
    };
    let more = more.to_owned();
    *told = text;
    Ok((!more.is_empty()).then_some(more))
}
