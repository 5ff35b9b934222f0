//! How streams are cut into pieces: server-sent events and lines of JSON. Pushed in as bytes in any pieces, taken out whole.

/// The longest event or line that is understood, in bytes; a longer one loses its rest.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;

/// Server-sent events, after the WHATWG's HTML standard, section 9.2.
#[derive(Debug, Default)]
pub struct Sse {
    line: Vec<u8>,
    event: String,
    data: Vec<u8>,
    has_data: bool,
    skip_lf: bool,
}

impl Sse {
    /// Takes the next bytes; tells each event that is complete now: its name, empty where it has none, and its data.
    pub fn push(&mut self, bytes: &[u8], mut tell: impl FnMut(&str, &[u8])) {
        for &byte in bytes {
            let skip = std::mem::take(&mut self.skip_lf) && byte == b'\n';
            match byte {
                _ if skip => {}
                b'\n' => self.end_line(&mut tell),
                b'\r' => {
                    self.skip_lf = true;
                    self.end_line(&mut tell);
                }
                _ if self.line.len() < FRAME_LEN_MAX => self.line.push(byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self, tell: &mut impl FnMut(&str, &[u8])) {
        let mut line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                tell(&self.event, &self.data);
            }
            self.data.clear();
            self.event.clear();
        } else if let Some(data) = field(&line, b"data") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            let room = FRAME_LEN_MAX.saturating_sub(self.data.len());
            self.data.extend_from_slice(&data[..data.len().min(room)]);
        } else if let Some(event) = field(&line, b"event") {
            self.event = String::from_utf8_lossy(event).into_owned();
        }
        line.clear();
        self.line = line;
    }
}

/// The value of a line's field, if it is that field.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Lines, each a JSON value.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes; tells each line that is complete now and not empty.
    pub fn push(&mut self, bytes: &[u8], mut tell: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (body, ended) = match piece.strip_suffix(b"\n") {
                Some(body) => (body, true),
                None => (piece, false),
            };
            let room = FRAME_LEN_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&body[..body.len().min(room)]);
            if ended {
                self.end(&mut tell);
            }
        }
    }

    /// The stream is over; its last line may lack its end.
    pub fn finish(&mut self, mut tell: impl FnMut(&[u8])) {
        self.end(&mut tell);
    }

    fn end(&mut self, tell: &mut impl FnMut(&[u8])) {
        let line = self.line.trim_ascii();
        if !line.is_empty() {
            tell(line);
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let (mut sse, mut told) = (Sse::default(), Vec::new());
        for piece in pieces {
            sse.push(piece, |event, data| {
                told.push((event.to_owned(), String::from_utf8(data.to_vec()).unwrap()));
            });
        }
        told
    }

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = b": hello\r\nevent: ping\ndata: {\"a\":\r\ndata:1}\n\nid: 7\n\nevent\ndata\n\ndata: x\r\r";
        let whole = events(&[text]);
        let expected = [("ping", "{\"a\":\n1}"), ("", ""), ("", "x")];
        assert_eq!(whole, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        for at in 0..text.len() {
            let (left, right) = text.split_at(at);
            assert_eq!(events(&[left, right]), whole, "cut at {at}");
        }
    }

    #[test]
    fn lines_come_out_whole_however_they_are_cut() {
        let text = b"{\"a\":1}\r\n\n {\"b\":2}\n{\"c\":3}";
        for at in 0..text.len() {
            let (mut lines, mut told) = (Lines::default(), Vec::new());
            let (left, right) = text.split_at(at);
            lines.push(left, |line| told.push(line.to_vec()));
            lines.push(right, |line| told.push(line.to_vec()));
            lines.finish(|line| told.push(line.to_vec()));
            assert_eq!(told, [b"{\"a\":1}", b"{\"b\":2}", b"{\"c\":3}"], "cut at {at}");
        }
    }

    #[test]
    fn an_absurd_frame_is_not_kept_whole() {
        let mut sse = Sse::default();
        let mut longest = 0;
        for _ in 0..40 {
            sse.push(&vec![b'x'; 64 << 10], |_, data| longest = longest.max(data.len()));
        }
        assert!(sse.line.len() <= FRAME_LEN_MAX);
        let mut lines = Lines::default();
        for _ in 0..40 {
            lines.push(&vec![b'x'; 64 << 10], |_| {});
        }
        assert!(lines.line.len() <= FRAME_LEN_MAX);
    }
}
