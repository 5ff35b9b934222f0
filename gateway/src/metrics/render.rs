//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

use adapters::Operation;
use domain::decide::routing;
use domain::limit::Unit;
use domain::{Health, View};

use super::{BOUNDS_US, Histogram, Outcome, REFUSALS, names};
use crate::inner::Inner;

/// Text being written.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if n == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }

    fn histogram(&mut self, name: &str, operation: &str, histogram: &Histogram) {
        let mut count = 0;
        for (n, bucket) in histogram.buckets.iter().enumerate() {
            count += bucket.get();
            let bound = BOUNDS_US.get(n).map_or("+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
            self.line(&format!("{name}_bucket"), &[("operation", operation), ("le", &bound)], count);
        }
        let labels = [("operation", operation)];
        self.line(&format!("{name}_sum"), &labels, histogram.sum_us.get() as f64 / 1e6);
        self.line(&format!("{name}_count"), &labels, count);
    }
}

/// The page of this gateway.
pub(crate) fn render(inner: &Inner, view: &View) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    calls(&mut page, inner);
    targets(&mut page, inner);
    cluster(&mut page, view);
    page.0
}

fn calls(page: &mut Page, inner: &Inner) {
    let metrics = &inner.metrics;
    page.family(names::REQUESTS, "counter", "inference calls finished");
    for operation in Operation::ALL.iter().copied() {
        for (outcome, name) in Outcome::ALL {
            let labels = [("operation", operation.as_str()), ("outcome", name)];
            page.line(names::REQUESTS, &labels, metrics.requests[operation as usize][outcome as usize].get());
        }
    }
    let histograms = [
        (names::DURATION, "from a call's arrival to the end of its answer", &metrics.duration),
        (names::FIRST_BYTE, "from a call's arrival to the first byte of its answer", &metrics.first_byte),
    ];
    for (name, help, histograms) in histograms {
        page.family(name, "histogram", help);
        for operation in Operation::ALL.iter().copied() {
            page.histogram(name, operation.as_str(), &histograms[operation as usize]);
        }
    }
    page.family(names::TOKENS, "counter", "tokens that answers told");
    page.line(names::TOKENS, &[("kind", "prompt")], metrics.prompt_tokens.get());
    page.line(names::TOKENS, &[("kind", "completion")], metrics.completion_tokens.get());
    page.family(names::API, "counter", "requests other than inference, by class of status");
    for (n, counter) in metrics.api.iter().enumerate() {
        page.line(names::API, &[("class", &format!("{}xx", n + 1))], counter.get());
    }
    page.single(names::IN_FLIGHT, "gauge", "inference calls under way", metrics.in_flight.get());
    page.single(names::CONNECTIONS, "gauge", "clients' connections", metrics.connections.get());
    page.single(names::RETRIES, "counter", "further targets tried", metrics.retries.get());
    page.single(names::RELAYED, "counter", "calls taken for other nodes", metrics.relayed.get());
    limits(page, inner);
    page.single(names::REFUSED_KEYS, "counter", "requests not allowed", metrics.refused_keys.get());
}

fn limits(page: &mut Page, inner: &Inner) {
    let metrics = &inner.metrics;
    page.single(
        names::ADMITTED,
        "counter",
        "calls let through by their key's limits",
        metrics.admitted.get(),
    );
    page.family(names::LIMITED, "counter", "calls not let through by their key's limits, by unit and reason");
    for unit in Unit::ALL {
        for (n, reason) in REFUSALS.iter().enumerate() {
            let labels = [("unit", unit.as_str()), ("reason", reason)];
            page.line(names::LIMITED, &labels, metrics.refused[unit as usize][n].get());
        }
    }
    let leased = inner.deps.limiter.leased();
    page.family(names::LEASED, "gauge", "of keys' limits, what this node was granted and has not used");
    for unit in Unit::ALL {
        page.line(names::LEASED, &[("unit", unit.as_str())], unit.text(leased.units[unit as usize]));
    }
    page.single(names::LIMITED_KEYS, "gauge", "keys with limits in use on this node", leased.keys);
}

fn targets(page: &mut Page, inner: &Inner) {
    let loads = inner.loads.all();
    page.family(names::TARGET_IN_FLIGHT, "gauge", "calls under way from this node");
    for (label, load) in &loads {
        page.line(names::TARGET_IN_FLIGHT, &[("target", label)], load.in_flight);
    }
    page.family(names::TARGET_LATENCY, "gauge", "smoothed time to the first byte");
    for (label, load) in &loads {
        page.line(names::TARGET_LATENCY, &[("target", label)], load.latency_us as f64 / 1e6);
    }
    page.family(names::TARGET_CALLS, "counter", "calls from this node by outcome");
    for (label, load) in &loads {
        page.line(names::TARGET_CALLS, &[("target", label), ("outcome", "answered")], load.answered);
        page.line(names::TARGET_CALLS, &[("target", label), ("outcome", "failed")], load.failed);
    }
}

fn cluster(page: &mut Page, view: &View) {
    page.family(names::NODES, "gauge", "nodes by health, as this node sees them");
    let health = |node| if node == view.me { Health::Alive } else { view.liveness.of(node) };
    for (kind, name) in [(Health::Alive, "alive"), (Health::Suspect, "suspect"), (Health::Down, "down")] {
        let count = view.state.nodes.rows().filter(|n| health(n.id) == kind).count();
        page.line(names::NODES, &[("health", name)], count);
    }
    page.family(names::REPLICAS, "gauge", "replicas of all deployments");
    let wanted: u32 = view.state.deployments.rows().map(|d| d.wanted()).sum();
    let ready: usize = view.state.deployments.rows().map(|d| routing::ready(view, d)).sum();
    page.line(names::REPLICAS, &[("kind", "wanted")], wanted);
    page.line(names::REPLICAS, &[("kind", "ready")], ready);
    page.single(names::APPLIED, "gauge", "log index of the last command applied", view.applied);
    let leader = u8::from(view.leader.is_some());
    page.single(names::HAS_LEADER, "gauge", "whether this node knows a leader", leader);
}
