//! Forms in parts, after RFC 7578, as far as fields that are text need it.

use crate::call::Error;

/// The longest boundary that RFC 2046 allows, in bytes.
const BOUNDARY_LEN_MAX: usize = 70;

/// The fields of a form, in order. `options` is what the content type says after its kind.
pub(super) fn fields(options: &str, body: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let boundary = option(options, "boundary").filter(|text| (1..=BOUNDARY_LEN_MAX).contains(&text.len()));
    let boundary = boundary.ok_or_else(|| {
        Error::field(
            "Content-Type",
            "has no boundary: let your HTTP library write it for multipart/form-data",
        )
    })?;
    let delimiter = format!("--{boundary}");
    let cut = || Error::field("body", "ends before its last boundary: send it whole");
    let mut rest = match body.strip_prefix(delimiter.as_bytes()) {
        Some(rest) => rest,
        None => after(body, format!("\r\n{delimiter}").as_bytes()).ok_or_else(cut)?.1,
    };
    let delimiter = format!("\r\n{delimiter}");
    let mut out = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(out);
        }
        // Space may follow a boundary.
        let (_, part) = after(rest, b"\r\n").ok_or_else(cut)?;
        let (part, next) = after(part, delimiter.as_bytes()).ok_or_else(cut)?;
        out.push(field(part)?);
        rest = next;
    }
}

/// One part: its headers, an empty line, its content.
fn field(part: &[u8]) -> Result<(String, String), Error> {
    let nameless = || Error::field("body", "has a part without a name: give each `name=\"…\"`");
    let (headers, content) = after(part, b"\r\n\r\n").ok_or_else(nameless)?;
    let headers = String::from_utf8_lossy(headers);
    let disposition = headers.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let (_, options) = disposition.and_then(|value| value.split_once(';')).ok_or_else(nameless)?;
    let name = option(options, "name").ok_or_else(nameless)?;
    if option(options, "filename").is_some() {
        return Err(Error::field(name, "is a file, which is not understood here: send text"));
    }
    let value = text(content.to_vec(), &name)?;
    Ok((name, value))
}

/// Bytes of a field as text.
pub(super) fn text(bytes: Vec<u8>, name: &str) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::field(name.to_owned(), "must be text in UTF-8"))
}

/// What is before and after the first of these bytes.
fn after<'a>(bytes: &'a [u8], what: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(what.len()).position(|window| window == what)?;
    Some((&bytes[..at], &bytes[at + what.len()..]))
}

/// An option of a header: `name=value` or `name="value"`, separated by `;`.
fn option(options: &str, wanted: &str) -> Option<String> {
    let mut rest = options;
    loop {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim_matches([' ', '\t', ';']);
        let (value, next) = match value.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let (value, next) = value.split_once(';').unwrap_or((value, ""));
                (value.trim().to_owned(), next)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
}

/// A text up to its closing quote, and what follows. `\"` and `\\` stand for themselves.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let (mut out, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' | '\\' if escaped => out.push(letter),
            '"' => return Some((out, &text[at + 1..])),
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => {
                if escaped {
                    out.push('\\');
                }
                out.push(letter);
            }
        }
        escaped = false;
    }
    None
}
