//! What was measured, from the clients' record alone: how long after a node was taken away calls went well again, models
//! answered, writes were acknowledged. Figures are told, never judged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sim::history::{Ended, Entry, Outages, What};

use crate::check::acknowledged;

/// A driver that was held up for less is not told.
const HELD_UP_TOLD: Duration = Duration::from_secs(10);

/// A moment at which nodes were taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strike {
    /// What was done.
    pub(crate) what: String,
    /// When.
    pub(crate) at: Duration,
    /// Names of the nodes.
    pub(crate) hit: Vec<String>,
    /// They did not go in peace: their replicas must be made elsewhere.
    pub(crate) sudden: bool,
    /// When every wanted replica was ready on other nodes.
    pub(crate) whole_at: Option<Duration>,
}

impl Strike {
    /// Nodes taken away now.
    pub(crate) fn new(what: &str, at: Duration, hit: Vec<String>, sudden: bool) -> Self {
        Self { what: what.to_owned(), at, hit, sudden, whole_at: None }
    }
}

/// Whether every deployment has all its replicas ready without these nodes.
pub(crate) fn whole_without(deployments: &Value, hit: &[String]) -> bool {
    let Some(rows) = deployments["deployments"].as_array() else { return false };
    rows.iter().all(|row| {
        let replicas = row["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let ready = replicas.iter().filter(|replica| {
            let host = replica["node_name"].as_str().unwrap_or_default();
            replica["phase"] == "ready" && !hit.iter().any(|name| name == host)
        });
        ready.count() as u64 >= row["wanted"].as_u64().unwrap_or(u64::MAX)
    })
}

/// What one strike cost, as clients of the survivors saw it. Times count from the strike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    /// Until the last call failed or was cut.
    pub(crate) last_failed: Option<Duration>,
    /// Until the first call after the last one that was sent to a dead node: from then on routers did not use it, whether or
    /// not there was another to use.
    pub(crate) rerouted: Option<Duration>,
    /// Until a chat begun after it succeeded.
    pub(crate) model_answers: Option<Duration>,
    /// Until a write begun after it was acknowledged.
    pub(crate) writes_resume: Option<Duration>,
    /// Until every replica was ready elsewhere.
    pub(crate) replicas_whole: Option<Duration>,
}

/// What a strike cost, until `until`, when the next fault came.
pub(crate) fn cost(strike: &Strike, until: Duration, entries: &[Entry], outages: &Outages) -> Cost {
    let ours: Vec<&Entry> = entries
        .iter()
        .filter(|e| e.end >= strike.at && e.start < until && outages.was_up(e.node, e.start, e.end))
        .collect();
    let since = |end: Duration| end.saturating_sub(strike.at);
    let ended = |e: &Entry, test: &dyn Fn(&Ended) -> bool| call(&e.what).is_some_and(test);
    let last = |test: &dyn Fn(&Entry) -> bool| ours.iter().filter(|e| test(e)).map(|e| since(e.end)).max();
    let routed = |end: &Ended| matches!(end, Ended::Well | Ended::NoTarget);
    // What had begun before the strike was not sent to a dead node.
    let misled = last(&|e| e.start >= strike.at && ended(e, &|end| !routed(end))).unwrap_or_default();
    let first = |test: &dyn Fn(&Entry) -> bool| {
        ours.iter().filter(|e| e.start >= strike.at && test(e)).map(|e| since(e.end)).min()
    };
    let well = |e: &Entry| matches!(&e.what, What::Chat { ended: Ended::Well, .. });
    Cost {
        last_failed: last(&|e| ended(e, &|end| *end != Ended::Well)),
        rerouted: first(&|e| ended(e, &routed) && since(e.end) >= misled),
        model_answers: first(&well),
        writes_resume: first(&|e| acknowledged(&e.what)),
        replicas_whole: strike.whole_at.map(since),
    }
}

fn call(what: &What) -> Option<&Ended> {
    match what {
        What::Chat { ended, .. } | What::Stream { ended, .. } => Some(ended),
        _ => None,
    }
}

/// All figures of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    /// Strikes and what each cost.
    pub(crate) costs: Vec<(Strike, Cost)>,
    /// Calls asked of nodes that were up: how many of each kind and end.
    pub(crate) calls: BTreeMap<String, u32>,
    /// The slowest chat that succeeded.
    pub(crate) slowest_chat: Option<Duration>,
    /// Changes that were acknowledged.
    pub(crate) writes: u32,
    /// Linearizable reads that were answered, one a register.
    pub(crate) reads: u32,
    /// Replicas that moved or started again though nothing happened to their node.
    pub(crate) healthy_moved: Option<usize>,
    /// The longest that the driver itself did not get on: long ones mean that the machine was busy with something else.
    pub(crate) held_up: Duration,
}

impl Figures {
    /// Measures a run.
    pub(crate) fn of(strikes: &[Strike], entries: &[Entry], outages: &Outages) -> Self {
        let mut figures = Figures::default();
        for (place, strike) in strikes.iter().enumerate() {
            let until = strikes.get(place + 1).map_or(Duration::MAX, |next| next.at);
            figures.costs.push((strike.clone(), cost(strike, until, entries, outages)));
        }
        for entry in entries {
            figures.writes += u32::from(acknowledged(&entry.what));
            figures.reads += u32::from(matches!(entry.what, What::Get { .. }));
            if !outages.was_up(entry.node, entry.start, entry.end) {
                continue;
            }
            if let Some(kind) = kind(&entry.what) {
                *figures.calls.entry(kind).or_default() += 1;
            }
            if matches!(&entry.what, What::Chat { ended: Ended::Well, .. }) {
                figures.slowest_chat = figures.slowest_chat.max(Some(entry.end.saturating_sub(entry.start)));
            }
        }
        figures
    }

    /// The worst of each time over all strikes, and the counts, under names that say their units.
    pub(crate) fn json(&self) -> Value {
        let mut fields = Map::new();
        let mut time = |name: &str, of: &dyn Fn(&Cost) -> Option<Duration>| {
            if let Some(worst) = self.costs.iter().filter_map(|(_, cost)| of(cost)).max() {
                fields.insert(name.to_owned(), json!(worst.as_millis() as u64));
            }
        };
        time("last_failed_call_ms", &|cost| cost.last_failed);
        time("routers_settled_ms", &|cost| cost.rerouted);
        time("model_answers_again_ms", &|cost| cost.model_answers);
        time("replicas_ready_elsewhere_ms", &|cost| cost.replicas_whole);
        time("writes_resume_ms", &|cost| cost.writes_resume);
        if let Some(slowest) = self.slowest_chat {
            fields.insert("slowest_chat_ms".to_owned(), json!(slowest.as_millis() as u64));
        }
        if self.held_up >= HELD_UP_TOLD {
            fields.insert("driver_held_up_ms".to_owned(), json!(self.held_up.as_millis() as u64));
        }
        if let Some(count) = self.healthy_moved {
            fields.insert("healthy_replicas_moved".to_owned(), json!(count));
        }
        for (kind, count) in &self.calls {
            fields.insert(kind.clone(), json!(count));
        }
        for (name, count) in [("writes acknowledged", self.writes), ("reads answered", self.reads)] {
            if count > 0 {
                fields.insert(name.to_owned(), json!(count));
            }
        }
        Value::Object(fields)
    }
}

/// A call's kind and end.
fn kind(what: &What) -> Option<String> {
    let sort = match what {
        What::Chat { .. } => "chats",
        What::Stream { .. } => "streams",
        What::Hang { .. } => return Some("other requests hung".to_owned()),
        _ => return None,
    };
    let ended = match call(what)? {
        Ended::Well => "well".to_owned(),
        Ended::Status(status) => format!("refused with {status}"),
        Ended::NoTarget => "refused for want of a replica".to_owned(),
        Ended::ErrorEvent => "ended by an error event".to_owned(),
        Ended::Broken => "broken".to_owned(),
        Ended::Refused => "not connected".to_owned(),
        Ended::Truncated => "cut short".to_owned(),
        Ended::Hung => "hung".to_owned(),
    };
    Some(format!("{sort} {ended}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::history::Wrote;
    use sim::scenario::{ms, s};

    fn chat(node: usize, start: Duration, end: Duration, ended: Ended) -> Entry {
        Entry { node, start, end, what: What::Chat { model: "m".to_owned(), ended } }
    }

    fn killed() -> (Strike, Outages) {
        let mut outages = Outages::default();
        outages.begin(1, s(5));
        (Strike::new("killed", s(5), vec!["n2".to_owned()], true), outages)
    }

    #[test]
    fn recovery_is_the_first_success_after_the_last_failure_on_a_survivor() {
        let (strike, outages) = killed();
        let entries = [
            chat(0, ms(4_990), ms(5_010), Ended::Well),
            chat(0, ms(5_100), ms(5_200), Ended::Well),
            chat(2, ms(5_100), ms(5_900), Ended::Status(502)),
            chat(1, ms(6_000), ms(6_100), Ended::Refused),
            chat(2, ms(6_000), ms(6_200), Ended::Well),
        ];
        let cost = cost(&strike, Duration::MAX, &entries, &outages);
        assert_eq!(cost.last_failed, Some(ms(900)));
        assert_eq!(cost.rerouted, Some(ms(1_200)));
        assert_eq!(cost.model_answers, Some(ms(200)));
        assert_eq!(cost.writes_resume, None);
    }

    #[test]
    fn routers_that_know_of_no_replica_do_not_use_the_dead_one() {
        let (strike, outages) = killed();
        let entries = [
            chat(0, ms(4_990), ms(5_010), Ended::ErrorEvent),
            chat(0, ms(5_100), ms(5_300), Ended::Status(502)),
            chat(2, ms(5_400), ms(5_410), Ended::NoTarget),
            chat(2, ms(9_000), ms(9_010), Ended::NoTarget),
            chat(0, ms(9_100), ms(9_200), Ended::Well),
        ];
        let cost = cost(&strike, Duration::MAX, &entries, &outages);
        assert_eq!(cost.rerouted, Some(ms(410)));
        assert_eq!(cost.last_failed, Some(ms(4_010)));
        assert_eq!(cost.model_answers, Some(ms(4_200)));
    }

    #[test]
    fn a_write_counts_when_it_began_after_the_kill() {
        let (strike, outages) = killed();
        let write = |start, end| {
            let what = What::Create { name: "k".to_owned(), wrote: Wrote::Acknowledged };
            Entry { node: 0, start, end, what }
        };
        let entries = [write(ms(4_999), ms(5_001)), write(ms(5_020), ms(6_520))];
        let cost = cost(&strike, Duration::MAX, &entries, &outages);
        assert_eq!(cost.writes_resume, Some(ms(1_520)));
    }

    #[test]
    fn replicas_on_a_dead_node_do_not_count_as_ready() {
        let rows = json!({ "deployments": [{ "wanted": 2, "replicas": [
            { "node_name": "n1", "phase": "ready" }, { "node_name": "n2", "phase": "ready" },
        ] }] });
        assert!(whole_without(&rows, &[]));
        assert!(!whole_without(&rows, &["n2".to_owned()]));
        assert!(!whole_without(&Value::Null, &[]));
    }

    #[test]
    fn calls_are_counted_by_kind_on_nodes_that_were_up() {
        let (strike, outages) = killed();
        let entries = [
            chat(0, s(6), s(7), Ended::Well),
            chat(0, s(6), s(7), Ended::Status(503)),
            chat(1, s(6), s(7), Ended::Refused),
        ];
        let figures = Figures::of(&[strike], &entries, &outages);
        let told = figures.json();
        assert_eq!(told["chats well"], 1);
        assert_eq!(told["chats refused with 503"], 1);
        assert_eq!(told["slowest_chat_ms"], 1000);
        assert_eq!(told.get("chats not connected"), None);
    }
}
