//! Figures as text: one place for units and digits. Used by the report's tables.

use std::time::Duration;

/// What stands where there is no figure.
pub(super) const NONE: &str = "–";

/// A figure or a dash.
pub(super) fn or_none<T>(value: Option<T>, format: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), format)
}

/// A duration in the unit that suits it.
pub(super) fn duration(value: Duration) -> String {
    micros_in_unit(value.as_secs_f64() * 1e6)
}

/// A difference in microseconds, with its sign.
pub(super) fn added(micros: f64) -> String {
    let sign = if micros <= -0.5 { "-" } else { "+" };
    // Below 10 ms a finer unit keeps differences apart.
    let size = micros.abs();
    if size < 10_000.0 { format!("{sign}{size:.0} µs") } else { format!("{sign}{}", micros_in_unit(size)) }
}

/// Processor time in microseconds.
pub(super) fn cpu(micros: f64) -> String {
    format!("{micros:.1} µs")
}

/// A rate per second, or a count.
pub(super) fn count(value: f64) -> String {
    format!("{value:.0}")
}

/// A ratio.
pub(super) fn ratio(value: f64) -> String {
    format!("{value:.2} ×")
}

/// Bytes as MiB.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// The smallest and the largest of a few figures.
pub(super) fn range(values: &[f64], format: impl Fn(f64) -> String) -> String {
    let low = values.iter().copied().reduce(f64::min);
    let high = values.iter().copied().reduce(f64::max);
    or_none(low.zip(high), |(low, high)| format!("{} – {}", format(low), format(high)))
}

fn micros_in_unit(micros: f64) -> String {
    match micros {
        m if m < 1000.0 => format!("{m:.0} µs"),
        m if m < 100_000.0 => format!("{:.2} ms", m / 1000.0),
        m if m < 1_000_000.0 => format!("{:.0} ms", m / 1000.0),
        m => format!("{:.2} s", m / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        let text = |us| duration(Duration::from_micros(us));
        assert_eq!([text(0), text(999), text(20_040)], ["0 µs", "999 µs", "20.04 ms"]);
        assert_eq!([text(250_400), text(1_500_000)], ["250 ms", "1.50 s"]);
    }

    #[test]
    fn differences_keep_their_sign() {
        assert_eq!([added(12.4), added(-3.0), added(40_000.0)], ["+12 µs", "-3 µs", "+40.00 ms"]);
        assert_eq!([added(-0.4), added(0.0)], ["+0 µs", "+0 µs"]);
    }

    #[test]
    fn a_range_of_nothing_is_a_dash() {
        assert_eq!(range(&[], count), NONE);
        assert_eq!(range(&[3.0, 1.0, 2.0], count), "1 – 3");
    }
}
