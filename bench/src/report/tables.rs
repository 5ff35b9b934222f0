//! The tables of the page, out of the results. Used by the report only.

use super::Table;
use super::format::{NONE, added, count, cpu, duration, mebibytes, or_none, range, ratio};
use crate::failover::Row;
use crate::results::{PerVia, Results, Series, Via};
use crate::stats::Summary;
use std::time::Duration;

pub(super) const SUMMARY_NOTE: &str = "*Added* is the percentile through the proxy less the same percentile sent direct; its \
    ratio compares the two proxies' additions. The bar is what LLMHub is held to on an otherwise idle machine.";
pub(super) const DETAILS_NOTE: &str = "Closed loop and fixed rate: from sending a request to its last byte. Streams: gaps \
    between events. First event: from sending the request. CPU and rates: median and range of the rounds. Late: the p99 of the \
    generator's own delay in sending, which is in no latency; where it is large, the machine was too busy.";

const WAYS: [Via; 3] = [Via::Direct, Via::Nginx, Via::Llmhub];

/// One line per figure, next to nginx and to the bar.
pub(super) fn summary(results: &Results) -> Table {
    let mut table = Table::new(["figure", "direct", "nginx", "llmhub", "llmhub / nginx", "bar"]);
    cpu_row(&mut table, "plain: CPU per request", &results.plain, "≤ 2.5 ×");
    if !results.plain.is_empty() {
        let rate = |via| results.plain.get(&via).and_then(Series::per_second_median);
        let text = WAYS.map(|via| or_none(rate(via), count));
        figure(
            &mut table,
            "plain: requests per second",
            text,
            divide(rate(Via::Llmhub), rate(Via::Nginx)),
            "",
        );
    }
    for (per_second, ways) in &results.fixed {
        added_row(&mut table, &format!("{per_second}/s: p50 (proxies: added)"), ways, |s| s.p50);
        added_row(&mut table, &format!("{per_second}/s: p99 (proxies: added)"), ways, |s| s.p99);
    }
    cpu_row(&mut table, "streams: CPU per event", &results.streams, "≤ 2 ×");
    added_row(&mut table, "streams: gap between events, p50 (proxies: added)", &results.streams, |s| s.p50);
    added_row(&mut table, "streams: gap between events, p99 (proxies: added)", &results.streams, |s| s.p99);
    added_row(&mut table, "first event: p50 (proxies: added)", &results.first_event, |s| s.p50);
    hop_rows(&mut table, results);
    idle_rows(&mut table, results);
    table
}

/// One line per measurement and way.
pub(super) fn details(results: &Results) -> Table {
    let header = [
        "measurement",
        "via",
        "done",
        "per second",
        "p50",
        "p90",
        "p99",
        "max",
        "late",
        "CPU each",
        "CPU, rounds",
    ];
    let mut table = Table::new(header);
    for (name, ways) in measurements(results) {
        for (via, series) in ways {
            let latency = series.latency();
            let late = series.tally.lateness.summary().map(|s| s.p99);
            table.row([
                name.clone(),
                via.name().to_owned(),
                series.tally.done.to_string(),
                or_none(series.per_second_median(), count),
                or_none(latency.map(|s| s.p50), duration),
                or_none(latency.map(|s| s.p90), duration),
                or_none(latency.map(|s| s.p99), duration),
                or_none(latency.map(|s| s.max), duration),
                or_none(late, duration),
                or_none(series.cpu_us_median(), cpu),
                range(&series.cpu_us, cpu),
            ]);
        }
    }
    for (name, samples) in
        results.hop.iter().flat_map(|hop| [("the host", &hop.host), ("another node", &hop.other)])
    {
        let latency = samples.summary();
        let mut cells = [const { String::new() }; 11].map(|_| NONE.to_owned());
        cells[0] = "first event of a replica".to_owned();
        cells[1] = name.to_owned();
        cells[2] = samples.len().to_string();
        let times =
            [latency.map(|s| s.p50), latency.map(|s| s.p90), latency.map(|s| s.p99), latency.map(|s| s.max)];
        cells[4..8].iter_mut().zip(times).for_each(|(cell, time)| *cell = or_none(time, duration));
        table.row(cells);
    }
    table
}

/// One line per idle node.
pub(super) fn idle(results: &Results) -> Table {
    let mut table = Table::new(["node", "resident memory", "of one core"]);
    for node in &results.idle {
        table.row([node.node.clone(), mebibytes(node.resident_bytes), format!("{:.2} %", node.core_percent)]);
    }
    table
}

/// One line per figure of the chaos driver.
pub(super) fn failover(results: &Results) -> Table {
    let mut table = Table::new(["scenario", "figure", "value", "bar"]);
    for Row { scenario, figure, value, bar } in &results.failover {
        table.row([scenario.clone(), figure.clone(), value.clone(), (*bar).to_owned()]);
    }
    table
}

/// One line per condition.
pub(super) fn conditions(conditions: &[(String, String)]) -> Table {
    pairs(["condition", "value"], conditions)
}

/// One line per measurement in which something failed.
pub(super) fn errors(results: &Results) -> Table {
    let mut table = Table::new(["measurement", "via", "errors", "the first one"]);
    let mut add = |name: &str, via: &str, errors: u64, first: &Option<String>| {
        if errors > 0 {
            table.row([
                name.to_owned(),
                via.to_owned(),
                errors.to_string(),
                first.clone().unwrap_or_default(),
            ]);
        }
    };
    for (name, ways) in measurements(results) {
        for (via, series) in ways {
            add(&name, via.name(), series.tally.errors, &series.tally.first_error);
        }
    }
    if let Some(hop) = &results.hop {
        add("first event of a replica", Via::Llmhub.name(), hop.errors, &hop.first_error);
    }
    table
}

fn measurements(results: &Results) -> Vec<(String, &PerVia)> {
    let fixed = results.fixed.iter().map(|(rate, ways)| (format!("plain at {rate}/s"), ways));
    std::iter::once(("plain, closed loop".to_owned(), &results.plain))
        .chain(fixed)
        .chain([("streams".to_owned(), &results.streams), ("first event".to_owned(), &results.first_event)])
        .collect()
}

fn cpu_row(table: &mut Table, label: &str, ways: &PerVia, bar: &str) {
    if ways.is_empty() {
        return;
    }
    let value = |via| ways.get(&via).and_then(Series::cpu_us_median);
    let text = WAYS.map(|via| or_none(value(via), cpu));
    figure(table, label, text, divide(value(Via::Llmhub), value(Via::Nginx)), bar);
}

/// The percentile sent direct, and what the proxies add to it.
fn added_row(table: &mut Table, label: &str, ways: &PerVia, pick: fn(Summary) -> Duration) {
    let Some(direct) = percentile(ways, Via::Direct, pick) else { return };
    let more = |via| percentile(ways, via, pick).map(|time| micros(time) - micros(direct));
    let (nginx, llmhub) = (more(Via::Nginx), more(Via::Llmhub));
    let text = [duration(direct), or_none(nginx, added), or_none(llmhub, added)];
    // Differences of a few microseconds either way are noise: a ratio of them would say nothing.
    let both = nginx.zip(llmhub).filter(|(nginx, llmhub)| *nginx >= 5.0 && *llmhub > 0.0);
    figure(table, label, text, both.map(|(nginx, llmhub)| llmhub / nginx), "");
}

fn hop_rows(table: &mut Table, results: &Results) {
    let Some(hop) = &results.hop else { return };
    let p50 = |samples: &crate::stats::Samples| samples.summary().map(|s| micros(s.p50));
    let between = p50(&hop.other).zip(p50(&hop.host)).map(|(other, host)| other - host);
    let pick = |s: Summary| s.p50;
    let through = percentile(&results.first_event, Via::Llmhub, pick);
    let direct = percentile(&results.first_event, Via::Direct, pick);
    let gateway = through.zip(direct).map(|(through, direct)| micros(through) - micros(direct));
    let llmhub = |value: Option<f64>| [NONE.to_owned(), NONE.to_owned(), or_none(value, added)];
    let label = format!("first event via another node: added p50, against the host ({})", hop.note);
    plain_figure(table, &label, llmhub(between), "");
    let all = between.zip(gateway).map(|(between, gateway)| between + gateway);
    plain_figure(table, "first event via another node: added p50, in all", llmhub(all), "≤ 2 ms");
}

fn idle_rows(table: &mut Table, results: &Results) {
    let Some(memory) = results.idle.iter().map(|node| node.resident_bytes).max() else { return };
    let share = results.idle.iter().map(|node| node.core_percent).fold(0.0, f64::max);
    let llmhub = |value: String| [NONE.to_owned(), NONE.to_owned(), value];
    plain_figure(table, "idle node: resident memory (worst)", llmhub(mebibytes(memory)), "< 100 MiB");
    plain_figure(table, "idle node: share of one core (worst)", llmhub(format!("{share:.2} %")), "< 2 %");
}

fn figure(
    table: &mut Table,
    label: &str,
    [direct, nginx, llmhub]: [String; 3],
    to_nginx: Option<f64>,
    bar: &str,
) {
    table.row([label.to_owned(), direct, nginx, llmhub, or_none(to_nginx, ratio), bar.to_owned()]);
}

/// A figure that nginx has nothing to compare with.
fn plain_figure(table: &mut Table, label: &str, [direct, nginx, llmhub]: [String; 3], bar: &str) {
    table.row([label.to_owned(), direct, nginx, llmhub, String::new(), bar.to_owned()]);
}

fn pairs(header: [&str; 2], pairs: &[(String, String)]) -> Table {
    let mut table = Table::new(header);
    pairs.iter().for_each(|(label, value)| table.row([label.clone(), value.clone()]));
    table
}

fn percentile(ways: &PerVia, via: Via, pick: fn(Summary) -> Duration) -> Option<Duration> {
    ways.get(&via).and_then(Series::latency).map(pick)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn divide(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    above.zip(below.filter(|b| *b > 0.0)).map(|(above, below)| above / below)
}
