//! On what a run was made: machine, versions, date. Figures without these mean nothing, so every report begins with them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Label and value of each condition of this machine.
pub fn machine() -> Vec<(String, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let row = |label: &str, value: String| (label.to_owned(), value);
    vec![
        row("date", now()),
        row("processor", processor(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown".to_owned())),
        row("cores", cores.to_string()),
        row("memory", memory(&read("/proc/meminfo")).unwrap_or_else(|| "unknown".to_owned())),
        row("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        row("load before the run (1, 5, 15 min)", load(&read("/proc/loadavg"))),
        row("bench", format!("{} ({})", env!("CARGO_PKG_VERSION"), profile(cfg!(debug_assertions)))),
    ]
}

/// The version of an llmhub binary, with the build profile as far as its path tells.
pub fn llmhub_version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    let version = text.lines().next().map_or("unknown", str::trim);
    let below = |folder: &str| program.components().any(|part| part.as_os_str() == folder);
    let built = match (below("debug"), below("release")) {
        (true, _) => profile(true),
        (_, true) => profile(false),
        _ => "build profile unknown",
    };
    format!("{version} ({built})")
}

fn profile(debug: bool) -> &'static str {
    if debug { "development build: figures are too high" } else { "release build" }
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory(meminfo: &str) -> Option<String> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

fn load(loadavg: &str) -> String {
    loadavg.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date(seconds)
}

/// Seconds since 1970 as a date and time in UTC. The calendar follows Howard Hinnant's `civil_from_days`.
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days since 1 March of the year 0
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(951_868_799), "2000-02-29 23:59 UTC");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59 UTC");
        assert_eq!(date(1_767_225_600), "2026-01-01 00:00 UTC");
    }

    #[test]
    fn the_processor_and_the_memory_are_read() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU\n"), Some("Some CPU".to_owned()));
        assert_eq!(processor(""), None);
        assert_eq!(memory("MemTotal:        8388608 kB\n"), Some("8.0 GiB".to_owned()));
        assert_eq!(load("0.10 0.20 0.30 1/97 14010\n"), "0.10 0.20 0.30");
    }

    #[test]
    fn a_development_build_is_called_one() {
        assert!(llmhub_version(Path::new("/nowhere/debug/llmhub")).contains("development"));
        assert!(llmhub_version(Path::new("/nowhere/release/llmhub")).contains("unknown (release"));
        assert!(llmhub_version(Path::new("/nowhere/bin/llmhub")).contains("profile unknown"));
    }
}
