//! Forms in parts, after RFC 7578: read, without copying what is in them, and written.

use std::ops::Range;

use bytes::Bytes;

use crate::call::Error;

/// The longest boundary that RFC 2046 allows, in bytes.
const BOUNDARY_LEN_MAX: usize = 70;
/// Parts of one form at most.
pub(crate) const PARTS_MAX: usize = 128;
/// The most bytes that the headers of a part may have.
const HEADERS_LEN_MAX: usize = 16 * 1024;

/// A part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The field's name.
    pub(crate) name: String,
    /// What the file is called, if it is one.
    pub(crate) file: Option<String>,
    /// What it says of its content.
    pub(crate) media_type: Option<String>,
    /// Where in the body its content is.
    pub(crate) at: Range<usize>,
}

impl Part {
    /// Its content as text.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn text(&self, body: &[u8]) -> Result<String, Error> {
        text(body.get(self.at.clone()).unwrap_or_default().to_vec(), &self.name)
    }
}

/// The parts of a form, in order. `options` is what the content type says after its kind.
///
/// # Errors
/// When it has no boundary, is cut off, or has a part without a name.
pub(crate) fn parts(options: &str, body: &[u8]) -> Result<Vec<Part>, Error> {
    let boundary = option(options, "boundary").filter(|text| (1..=BOUNDARY_LEN_MAX).contains(&text.len()));
    let boundary = boundary.ok_or_else(|| {
        Error::field(
            "Content-Type",
            "has no boundary: let your HTTP library write it for multipart/form-data",
        )
    })?;
    let cut = || Error::field("body", "ends before its last boundary: send it whole");
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first one may begin the body.
    let mut next = match body.strip_prefix(&delimiter[2..]).and_then(after_delimiter) {
        Some((end, skipped)) => Some((end, delimiter.len() - 2 + skipped)),
        None => delimited(body, 0, &delimiter).map(|(_, end, next)| (end, next)),
    };
    let mut out = Vec::new();
    loop {
        let (end, start) = next.ok_or_else(cut)?;
        if end {
            return Ok(out);
        }
        if out.len() == PARTS_MAX {
            return Err(Error::field("body", format!("has more than {PARTS_MAX} parts: send fewer")));
        }
        // A part without headers and content shares its line's end with the next boundary.
        let from = start.saturating_sub(2);
        let (stop, end, after) = delimited(body, from, &delimiter).ok_or_else(cut)?;
        out.push(part(body, start..stop.max(start))?);
        next = Some((end, after));
    }
}

/// The fields of a form that holds no files, in order.
///
/// # Errors
/// As [`parts`], and when a part is a file or no text.
pub(crate) fn fields(options: &str, body: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let fields = parts(options, body)?.into_iter().map(|part| match part.file {
        Some(_) => Err(Error::field(part.name, "is a file, which is not understood here: send text")),
        None => Ok((part.name.clone(), part.text(body)?)),
    });
    fields.collect()
}

/// The next delimiter from here on: where it begins, whether it is the last, and where what follows begins.
fn delimited(body: &[u8], from: usize, delimiter: &[u8]) -> Option<(usize, bool, usize)> {
    let mut from = from;
    loop {
        let at = from + find(body.get(from..)?, delimiter)?;
        let next = at + delimiter.len();
        match after_delimiter(&body[next..]) {
            Some((end, skipped)) => return Some((at, end, next + skipped)),
            // It only begins alike.
            None => from = at + 1,
        }
    }
}

/// What follows a delimiter: whether it is the last, and how many bytes of its line are left. Space may follow it.
fn after_delimiter(rest: &[u8]) -> Option<(bool, usize)> {
    if rest.starts_with(b"--") {
        return Some((true, 2));
    }
    let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest[space..].starts_with(b"\r\n").then_some((false, space + 2))
}

/// One part: its headers, an empty line, its content.
fn part(body: &[u8], at: Range<usize>) -> Result<Part, Error> {
    let nameless = || Error::field("body", "has a part without a name: give each `name=\"…\"`");
    let bytes = body.get(at.clone()).unwrap_or_default();
    let look = &bytes[..bytes.len().min(HEADERS_LEN_MAX)];
    let headers_len = find(look, b"\r\n\r\n").ok_or_else(nameless)?;
    let headers = String::from_utf8_lossy(&look[..headers_len]);
    let header = |wanted: &str| {
        headers.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let disposition = header("content-disposition").ok_or_else(nameless)?;
    let (_, options) = disposition.split_once(';').ok_or_else(nameless)?;
    let name = option(options, "name").ok_or_else(nameless)?;
    let file = option(options, "filename").or_else(|| option(options, "filename*"));
    Ok(Part { name, file, media_type: header("content-type"), at: at.start + headers_len + 4..at.end })
}

/// Bytes of a field as text.
pub(crate) fn text(bytes: Vec<u8>, name: &str) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::field(name.to_owned(), "must be text in UTF-8"))
}

/// Where the first of these bytes are. Forms hold megabytes of sound: only where one begins alike it is compared.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
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

/// A form that is written: texts first, then one file.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    fields: Vec<(String, String)>,
}

impl Writer {
    /// Adds a text.
    pub(crate) fn text(&mut self, name: &str, value: impl Into<String>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    /// The whole form with its file, and its content type.
    pub(crate) fn finish(self, name: &str, file: &str, media_type: &str, content: &[u8]) -> (String, Bytes) {
        let boundary = self.boundary(content);
        let mut out = Vec::with_capacity(content.len() + 1_024);
        let mut put = |head: String, content: &[u8]| {
            out.extend_from_slice(
                format!("--{boundary}\r\nContent-Disposition: form-data; {head}").as_bytes(),
            );
            out.extend_from_slice(content);
            out.extend_from_slice(b"\r\n");
        };
        for (name, value) in &self.fields {
            put(format!("name=\"{}\"\r\n\r\n", escaped(name)), value.as_bytes());
        }
        let (name, file, media_type) = (escaped(name), escaped(file), escaped(media_type));
        put(format!("name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: {media_type}\r\n\r\n"), content);
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), out.into())
    }

    /// A boundary that nothing inside contains: the first number that fits, so that the same form is always the same bytes.
    fn boundary(&self, content: &[u8]) -> String {
        let is_in = |boundary: &str| {
            let what = boundary.as_bytes();
            find(content, what).is_some() || self.fields.iter().any(|(_, value)| value.contains(boundary))
        };
        let mut number = 0_u64;
        loop {
            // Of fixed length: none is the beginning of another, and content of n bytes holds fewer than n of them.
            let boundary = format!("part-of-form-{number:016}");
            if !is_in(&boundary) {
                return boundary;
            }
            number += 1;
        }
    }
}

/// A name as it may stand between quotes, after the HTML standard.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = " boundary=b";

    #[test]
    fn parts_are_found_where_they_are() {
        let body = b"preamble\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b \r\n\
            content-type: audio/wav\r\nCONTENT-DISPOSITION: form-data; filename=\"a \\\"b\\\".wav\"; name=file\r\n\r\n\
            \r\n--bc\r\n--b-\r\n\r\n--b--epilogue";
        let parts = parts(OPTIONS, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), &parts[0].file), ("model", &None));
        assert_eq!(parts[0].text(body).unwrap(), "m");
        assert_eq!(parts[1].file.as_deref(), Some("a \"b\".wav"));
        assert_eq!(parts[1].media_type.as_deref(), Some("audio/wav"));
        // What only begins like a boundary is content.
        assert_eq!(&body[parts[1].at.clone()], b"\r\n--bc\r\n--b-\r\n");
    }

    #[test]
    fn an_empty_part_and_an_empty_form_are_understood() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--b--";
        assert_eq!(fields(OPTIONS, body).unwrap(), [("a".to_owned(), String::new())]);
        assert_eq!(parts(OPTIONS, b"--b--").unwrap(), []);
        assert!(parts(OPTIONS, b"--b\r\n--b--").unwrap_err().to_string().contains("without a name"));
    }

    #[test]
    fn there_is_an_end_to_parts() {
        let one = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n";
        let body = one.repeat(PARTS_MAX) + "--b--";
        assert_eq!(parts(OPTIONS, body.as_bytes()).unwrap().len(), PARTS_MAX);
        let body = one.repeat(PARTS_MAX + 1) + "--b--";
        assert!(parts(OPTIONS, body.as_bytes()).unwrap_err().to_string().contains("more than 128"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::default();
        writer.text("model", "m\r\n--part-of-form-0000000000000000--");
        let content = b"\r\n--part-of-form-0000000000000001\r\n";
        let (kind, body) = writer.finish("file", "a\".wav", "audio/wav", content);
        let (_, options) = kind.split_once(';').unwrap();
        assert_eq!(options, " boundary=part-of-form-0000000000000002");
        let parts = parts(options, &body).unwrap();
        assert_eq!(parts[0].text(&body).unwrap(), "m\r\n--part-of-form-0000000000000000--");
        assert_eq!(&body[parts[1].at.clone()], content);
        assert_eq!(parts[1].file.as_deref(), Some("a%22.wav"));
    }
}
