//! The figures as Markdown tables, with their units.

use super::{Asked, Chats, Figures, Filled, Restored, Tenth, Weight};
use std::fmt::Write;
use std::time::Duration;

/// All tables.
pub fn render(conditions: &[(String, String)], figures: &Figures) -> String {
    let mut out = String::new();
    filled(&mut out, &figures.filled);
    weights(&mut out, &figures.weights);
    starts(&mut out, &figures.starts);
    asked(&mut out, &figures.asked);
    if let Some((large, empty)) = figures.chats {
        chats(&mut out, large, empty);
    }
    if let Some(all) = figures.restored {
        restored(&mut out, all);
    }
    out.push_str("\nConditions: ");
    let told: Vec<String> = conditions.iter().map(|(label, value)| format!("{label}: {value}")).collect();
    out.push_str(&told.join("; "));
    out.push_str(".\n");
    out
}

fn head(out: &mut String, columns: &[&str]) {
    let rule = "---|".repeat(columns.len());
    put(out, format_args!("\n| {} |\n|{rule}\n", columns.join(" | ")));
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

fn filled(out: &mut String, all: &[Filled]) {
    head(
        out,
        &[
            "made",
            "rows",
            "rows/s",
            "p50",
            "p99",
            "processor time of all nodes, each row",
            "last tenth to first",
        ],
    );
    for filled in all {
        let (Some(first), Some(last)) = (filled.tenths.first(), filled.tenths.last()) else { continue };
        let ratio = each(last) / each(first);
        for (name, tenth, ratio) in [("first", first, String::new()), ("last", last, format!("{ratio:.2} ×"))]
        {
            let rate = tenth.rows as f64 / tenth.took.as_secs_f64();
            let (p50, p99, cpu) = (span(tenth.p50), span(tenth.p99), each(tenth) * 1e6);
            let (what, rows, count) = (filled.what, tenth.rows, filled.count);
            put(
                out,
                format_args!(
                    "| {what}, the {name} {rows} of {count} | {rows} | {rate:.0} | {p50} | {p99} | {cpu:.0} µs | {ratio} |\n"
                ),
            );
        }
    }
}

/// Processor seconds of a row.
fn each(tenth: &Tenth) -> f64 {
    tenth.cpu.as_secs_f64() / tenth.rows.max(1) as f64
}

fn weights(out: &mut String, all: &[Weight]) {
    head(out, &["each node", "resident memory", "data directory", "idle: of one core"]);
    for Weight { when, resident_bytes, disk_bytes, idle_percent } in all {
        let (resident, disk) = (bytes(*resident_bytes), bytes(*disk_bytes));
        put(out, format_args!("| {when} | {resident} | {disk} | {idle_percent:.1} % |\n"));
    }
}

fn starts(out: &mut String, all: &[(&str, Duration, Duration)]) {
    head(out, &["a node", "until it is ready", "until it has all there was"]);
    for (what, ready, caught_up) in all {
        put(out, format_args!("| {what} | {} | {} |\n", span(*ready), span(*caught_up)));
    }
}

fn asked(out: &mut String, all: &[Asked]) {
    head(out, &["request", "answer", "p50", "longest", "processor time"]);
    for Asked { path, p50, longest, cpu, bytes: length } in all {
        let (length, p50, longest, cpu) = (bytes(*length as u64), span(*p50), span(*longest), span(*cpu));
        put(out, format_args!("| `GET {path}` | {length} | {p50} | {longest} | {cpu} |\n"));
    }
}

fn chats(out: &mut String, large: Chats, empty: Chats) {
    head(out, &["plain chats, one at a time", "p50", "p99", "processor time of the node"]);
    for (name, Chats { p50, p99, cpu }) in [("large cluster", large), ("empty cluster", empty)] {
        put(out, format_args!("| {name} | {} | {} | {} |\n", span(p50), span(p99), span(cpu)));
    }
    let ratio = |of: fn(&Chats) -> Duration| of(&large).as_secs_f64() / of(&empty).as_secs_f64();
    let (p50, p99, cpu) = (ratio(|c| c.p50), ratio(|c| c.p99), ratio(|c| c.cpu));
    put(out, format_args!("| ratio | {p50:.2} × | {p99:.2} × | {cpu:.2} × |\n"));
}

fn restored(out: &mut String, all: Restored) {
    let Restored { nodes, rows, backup, again, verify, restore } = all;
    head(
        out,
        &[
            "rows",
            "backup",
            "another, nothing changed",
            "both verified",
            "restore into a new cluster",
            "rows that differ",
        ],
    );
    let [backup, again, verify, restore] = [backup, again, verify, restore].map(span);
    put(out, format_args!("| {rows} | {backup} | {again} | {verify} | of {nodes} nodes: {restore} | 0 |\n"));
}

fn span(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    match ms {
        ..1.0 => format!("{:.0} µs", ms * 1e3),
        ..10.0 => format!("{ms:.1} ms"),
        ..1e3 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

fn bytes(count: u64) -> String {
    match count as f64 / 1024.0 {
        kib @ ..1.0 => format!("{:.0} B", kib * 1024.0),
        kib @ ..1024.0 => format!("{kib:.0} KiB"),
        kib => format!("{:.1} MiB", kib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_suits_its_size() {
        assert_eq!(span(Duration::from_micros(250)), "250 µs");
        assert_eq!(span(Duration::from_micros(2_500)), "2.5 ms");
        assert_eq!(span(Duration::from_millis(2_500)), "2.5 s");
        assert_eq!([bytes(10), bytes(10 << 10), bytes(10 << 20)], ["10 B", "10 KiB", "10.0 MiB"]);
    }

    #[test]
    fn the_last_tenth_is_told_beside_the_first() {
        let tenth = |cpu| Tenth {
            rows: 10,
            took: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu),
            p50: Duration::from_millis(3),
            p99: Duration::from_millis(9),
        };
        let filled = Filled { what: "keys", count: 100, tenths: vec![tenth(10), tenth(20), tenth(30)] };
        let page = render(&[], &Figures { filled: vec![filled], ..Figures::default() });
        assert!(
            page.contains("| keys, the last 10 of 100 | 10 | 10 | 3.0 ms | 9.0 ms | 3000 µs | 3.00 × |"),
            "{page}"
        );
    }
}
