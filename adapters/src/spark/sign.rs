//! How an address is signed: HMAC-SHA256 over host, date and the line of the request, after iFlytek's document on the
//! authentication of URLs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::call::{Error, Target};
use crate::query::encoded;

/// Which of its two forms an address has; the signature is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `wss`, or `ws` where there is no TLS.
    Socket,
    /// `https`, or `http`.
    Plain,
}

/// The signed address. `path` is where the model is if the base URL does not say it.
///
/// # Errors
/// When the base URL is none, or the key is not of two parts.
pub(super) fn address(target: &Target<'_>, path: &str, scheme: Scheme) -> Result<http::Uri, Error> {
    let base = target.uri("")?;
    let secure = match base.scheme_str() {
        Some("wss" | "https") => true,
        Some("ws" | "http") => false,
        _ => return Err(Error::Target(format!("`{}` must begin with wss:// or ws://", target.base_url))),
    };
    let host = base.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let path = match base.path() {
        "" | "/" => path,
        path => path,
    };
    let (key, secret) = parts(target)?;
    let date = http_date(target.now_s);
    let authorization = authorization(key, secret, host, &date, path);
    let scheme = match (scheme, secure) {
        (Scheme::Socket, true) => "wss",
        (Scheme::Socket, false) => "ws",
        (Scheme::Plain, true) => "https",
        (Scheme::Plain, false) => "http",
    };
    let (authorization, date, named) = (encoded(&authorization), encoded(&date), encoded(host));
    let text = format!("{scheme}://{host}{path}?authorization={authorization}&date={date}&host={named}");
    http::Uri::try_from(text).map_err(|e| Error::Target(format!("`{}` is not a URL: {e}", target.base_url)))
}

fn parts<'a>(target: &Target<'a>) -> Result<(&'a str, &'a str), Error> {
    let parts = target.need_secret()?.split_once(':').map(|(key, secret)| (key.trim(), secret.trim()));
    parts.filter(|(key, secret)| !key.is_empty() && !secret.is_empty() && !key.contains('"')).ok_or_else(
        || Error::Target("its key must be an APIKey and an APISecret with `:` between".to_owned()),
    )
}

/// The parameter `authorization`.
pub(super) fn authorization(key: &str, secret: &str, host: &str, date: &str, path: &str) -> String {
    let signed = format!("host: {host}\ndate: {date}\nGET {path} HTTP/1.1");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&secret, signed.as_bytes()));
    STANDARD.encode(format!(
        r#"api_key="{key}", algorithm="hmac-sha256", headers="host date request-line", signature="{signature}""#
    ))
}

/// A time as RFC 1123 writes it, in Greenwich.
pub(super) fn http_date(now_s: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let (days, second) = (now_s / 86_400, now_s % 86_400);
    // Years begin in March here, so that the day that leap years have more is their last. Eras are of 400 years, the first
    // of them begins with the year 0, which is 719 468 days before 1970.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let name = MONTHS[(month % 12) as usize];
    let (hours, minutes, seconds) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday}, {day_of_month:02} {name} {year:04} {hours:02}:{minutes:02}:{seconds:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_1123_wants() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_683_283_419, "Fri, 05 May 2023 10:43:39 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(seconds), text);
        }
    }

    #[test]
    fn any_time_has_a_date() {
        assert!(http_date(u64::MAX).ends_with(" GMT"));
    }

    /// The example of iFlytek's document; the expected values were computed with Python's `hmac` and `base64`.
    #[test]
    fn the_documents_example_is_signed_as_python_signs_it() {
        let text = authorization(
            "addd2272b6d8b7c8abdd79531420ca3b",
            "MjlmNzkzNmZkMDQ2OTc0ZDdmNGE2ZTZi",
            "spark-api.xf-yun.com",
            "Fri, 05 May 2023 10:43:39 GMT",
            "/v1.1/chat",
        );
        assert_eq!(
            text,
            "YXBpX2tleT0iYWRkZDIyNzJiNmQ4YjdjOGFiZGQ3OTUzMTQyMGNhM2IiLCBhbGdvcml0aG09ImhtYWMtc2hhMjU2IiwgaGVhZGVycz0iaG9zdCBkYXRlIHJlcXVlc3QtbGluZSIsIHNpZ25hdHVyZT0iejVnSGR1M3B4VlY0QURNeWs0Njd3T1dEUTlxNkJRelIzbmZNVGpjL0RhUT0i"
        );
    }
}
