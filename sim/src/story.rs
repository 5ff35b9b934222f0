//! What a person wants to know of a run that failed: what was done to whom when, who led, what broke, what the clients
//! saw of it, and what each node said last before that. Fed by the trace with every line, bounded, and told only when a
//! run fails; it adds nothing of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::Level;

/// Moments kept at most; a run has a few dozen.
const MOMENTS_MAX: usize = 400;
/// Lines kept of each node, and shown of it.
const LINES_MAX: usize = 1_000;
const LINES_SHOWN: usize = 8;
/// What clients did, kept at most.
const CLIENTS_MAX: usize = 20_000;
/// Of what clients did to the same things, so many first and as many last are shown.
const CLIENTS_SHOWN: usize = 2;
/// Violations of which is shown what clients saw.
const WITNESSED_MAX: usize = 3;
/// Characters shown of one line.
const WIDTH: usize = 240;
/// Who logs what happens to the world, who logs what clients saw.
const WORLD: &[&str] = &["sim::driver", "sim::world::boot"];
const CLIENTS: &str = "sim::history";
/// Whose lines say nothing of a failure: every register that clients write is one more provider.
const ROUTINE: &str = "actors::provider";
/// What the driver says that is no moment of the run.
const ASIDE: &[&str] = &["run", "over", "judged"];

/// One line of the log, taken apart.
pub(crate) struct Line<'a> {
    pub(crate) at: Duration,
    /// The host it is of; `-` for the world.
    pub(crate) host: &'a str,
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) message: &'a str,
    pub(crate) fields: &'a str,
}

impl Line<'_> {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

/// Something of which a time and a text is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Moment {
    at: Duration,
    text: String,
    /// How often it was said in a row.
    times: u32,
}

impl Moment {
    fn shown(&self) -> String {
        let text: String = self.text.chars().take(WIDTH).collect();
        let times = if self.times > 1 { format!(" (×{})", self.times) } else { String::new() };
        format!("{:>9.3}  {text}{times}", self.at.as_secs_f64())
    }
}

/// A run's story so far.
#[derive(Debug, Default)]
pub struct Story {
    moments: Vec<Moment>,
    /// Moments beyond those kept.
    further: usize,
    /// What each node said.
    said: BTreeMap<String, VecDeque<Moment>>,
    /// When the first violation was seen, if while it ran.
    broke: Option<Duration>,
    clients: VecDeque<Moment>,
    /// How often each kind of fault happened.
    faults: BTreeMap<String, u64>,
}

impl Story {
    pub(crate) fn hear(&mut self, line: &Line<'_>) {
        if line.level > Level::INFO {
            return;
        }
        if line.target == CLIENTS {
            if self.clients.len() == CLIENTS_MAX {
                self.clients.pop_front();
            }
            self.clients.push_back(Moment { at: line.at, text: line.fields.trim().to_owned(), times: 1 });
        } else if WORLD.iter().any(|part| line.target.starts_with(part)) {
            self.happen(line);
        } else {
            self.say(line);
        }
    }

    /// Something happened to the world.
    fn happen(&mut self, line: &Line<'_>) {
        if ASIDE.contains(&line.message) {
            return;
        }
        if line.message == "fault" {
            *self.faults.entry(kind(line.fields)).or_default() += 1;
        }
        if line.message == "violation" {
            self.broke.get_or_insert(line.at);
        }
        if self.moments.len() == MOMENTS_MAX {
            self.further += 1;
            return;
        }
        let who = if line.host == "-" { String::new() } else { format!("{} ", line.host) };
        self.moments.push(Moment { at: line.at, text: who + &line.text(), times: 1 });
    }

    /// A node said something.
    fn say(&mut self, line: &Line<'_>) {
        if line.host == "-" || line.target.starts_with(ROUTINE) {
            return;
        }
        if !self.said.contains_key(line.host) {
            self.said.insert(line.host.to_owned(), VecDeque::new());
        }
        let Some(said) = self.said.get_mut(line.host) else { return };
        let text = line.text();
        if let Some(same) = said.back_mut().filter(|moment| moment.text == text) {
            (same.at, same.times) = (line.at, same.times + 1);
            return;
        }
        if said.len() == LINES_MAX {
            said.pop_front();
        }
        said.push_back(Moment { at: line.at, text, times: 1 });
    }

    /// How often each kind of fault happened.
    pub fn faults(&self) -> &BTreeMap<String, u64> {
        &self.faults
    }

    /// The story of a run in which these things broke, as lines.
    pub fn tell(&self, broken: &[&str]) -> Vec<String> {
        let mut lines = vec!["time line (seconds of simulated time):".to_owned()];
        lines.extend(self.moments.iter().map(Moment::shown));
        if self.further > 0 {
            lines.push(format!("           … and {} more", self.further));
        }
        let witnessed = broken.iter().take(WITNESSED_MAX);
        let seen: BTreeMap<(Duration, String), &Moment> = witnessed
            .flat_map(|what| self.witnesses(what))
            .map(|moment| ((moment.at, moment.text.clone()), moment))
            .collect();
        if !seen.is_empty() {
            lines.push("what clients saw of it (when it ended; node numbers from 0):".to_owned());
            lines.extend(seen.values().map(|moment| moment.shown()));
        }
        // What is judged in the end names the times it is about.
        let named = broken.iter().find_map(|what| time_in(what));
        let until = self.broke.or(named).unwrap_or(Duration::MAX);
        for (host, said) in &self.said {
            let before = said.iter().filter(|moment| moment.at <= until).count();
            lines.push(format!("{host} said last before that:"));
            let shown = said.iter().take(before).skip(before.saturating_sub(LINES_SHOWN));
            lines.extend(shown.map(Moment::shown));
        }
        lines
    }

    /// What clients did that shares most names and values with what broke: of each set of them the first and the last.
    fn witnesses(&self, what: &str) -> Vec<&Moment> {
        let asked = values(what);
        let mut alike: BTreeMap<Vec<&str>, Vec<&Moment>> = BTreeMap::new();
        for moment in &self.clients {
            let mut shared: Vec<&str> =
                values(&moment.text).into_iter().filter(|value| asked.contains(value)).collect();
            shared.sort_unstable();
            shared.dedup();
            alike.entry(shared).or_default().push(moment);
        }
        let most = alike.keys().map(Vec::len).max().unwrap_or(0);
        let best = alike.into_iter().filter(|(shared, _)| !shared.is_empty() && shared.len() == most);
        best.flat_map(|(_, moments)| {
            let last = moments.len().saturating_sub(CLIENTS_SHOWN).max(CLIENTS_SHOWN.min(moments.len()));
            moments[..CLIENTS_SHOWN.min(moments.len())]
                .iter()
                .chain(&moments[last..])
                .copied()
                .collect::<Vec<_>>()
        })
        .collect()
    }
}

/// The first time that a text names, as `12.345 s`.
fn time_in(text: &str) -> Option<Duration> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let times = words.windows(2).filter(|pair| pair[1].trim_end_matches([',', ':', ')']) == "s");
    times
        .filter_map(|pair| pair[0].parse().ok())
        .find_map(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// The kind of the fault that these fields tell of: `fault=Kill(Leader) victims=[1]` is a `Kill`.
fn kind(fields: &str) -> String {
    let fault = fields.trim_start().trim_start_matches("fault=");
    fault.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The words of a text that have a digit in them: names of things, values, times.
fn values(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)));
    words.filter(|word| word.len() > 1 && word.contains(|c: char| c.is_ascii_digit())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::s;

    fn hear(story: &mut Story, at: u64, host: &str, target: &str, message: &str, fields: &str) {
        story.hear(&Line { at: s(at), host, level: Level::INFO, target, message, fields });
    }

    #[test]
    fn it_tells_faults_in_order_and_what_each_node_said_before_it_broke() {
        let mut story = Story::default();
        hear(&mut story, 1, "n1", "consensus", "started", "");
        hear(&mut story, 2, "-", "sim::driver::faults", "fault", " fault=Kill(Leader) victims=[0]");
        hear(&mut story, 3, "n2", "consensus", "leads", "");
        hear(&mut story, 3, "n2", "consensus", "leads", "");
        hear(&mut story, 4, "-", "sim::driver::watch", "violation", " what=two");
        hear(&mut story, 5, "n2", "consensus", "too late", "");
        let told = story.tell(&["two"]).join("\n");
        assert!(told.contains("2.000  fault fault=Kill(Leader)") && told.contains("leads (×2)"), "{told}");
        assert!(!told.contains("too late"), "{told}");
        assert_eq!(story.faults().get("Kill"), Some(&1));
    }

    #[test]
    fn what_is_judged_in_the_end_is_told_with_what_nodes_said_when_it_happened() {
        let mut story = Story::default();
        (1..60).for_each(|at| hear(&mut story, at, "n1", "consensus", "step", &format!(" number={at}")));
        let told = story.tell(&["node 0 from 31.500 s to 40.000 s: Hung"]).join("\n");
        assert!(told.contains("number=31") && told.contains("number=24"), "{told}");
        assert!(!told.contains("number=32") && !told.contains("number=23"), "{told}");
    }

    #[test]
    fn it_shows_what_clients_did_to_what_broke() {
        let mut story = Story::default();
        for n in 0..50 {
            let what = format!(" node=0 what=Put {{ register: \"register-{}\", value: {} }}", n % 4, 100 + n);
            hear(&mut story, n, "clients", CLIENTS, "client", &what);
        }
        let told = story.tell(&["register-2: 114 was read before 130"]).join("\n");
        assert!(told.contains("value: 114") && told.contains("value: 130"), "{told}");
        assert_eq!(told.matches("register-2").count(), 2, "{told}");
    }
}
