//! Moments as text.

/// Seconds since 1970 after RFC 3339, in UTC: `2023-11-14T22:13:20Z`.
pub(super) fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date, so many days after the first of January 1970. Counts in years that begin in March, so that the day that only
/// some years have comes last, and in spans of 400 years, which all have the same number of days.
fn date(days: u64) -> (u64, u64, u64) {
    const SPAN: u64 = 146_097;
    // From the first of March of the year 0.
    let days = days.saturating_add(719_468);
    let (span, day) = (days / SPAN, days % SPAN);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = span.saturating_mul(400).saturating_add(year);
    if month < 10 { (year, month + 3, day) } else { (year.saturating_add(1), month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_with_their_date() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(951_868_800), "2000-03-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
        assert!(!rfc3339(u64::MAX).is_empty());
    }
}
