//! A small lexer for Rust: enough to tell code from comments and strings. It keeps no comment and no string's
//! content, and does not understand macros: what is inside one is tokens like all the rest.

/// One token: a word, a number, a lifetime, a punctuation character, or a string or character literal as `""`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from one; a literal's is the line where it begins.
    pub(crate) line: usize,
}

/// What every string and character literal becomes.
const LITERAL: &str = "\"\"";

/// The tokens of a piece of Rust.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.tokens
}

/// The index after the bracket that closes the one at `open`, or the number of tokens where nothing closes it.
pub(crate) fn after_closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) {
        if self.peek(0) == '\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn done(&self) -> bool {
        self.at >= self.chars.len()
    }

    fn push(&mut self, text: String, line: usize) {
        self.tokens.push(Token { text, line });
    }

    fn step(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            (c, _) if c.is_whitespace() => self.bump(),
            ('/', '/') => {
                while !self.done() && self.peek(0) != '\n' {
                    self.bump();
                }
            }
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.quote(),
            (c, _) if is_word(c) => self.word(),
            (c, _) => {
                self.bump();
                self.push(c.to_string(), line);
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.done() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.bump();
                }
                ('*', '/') => {
                    depth -= 1;
                    self.bump();
                }
                _ => {}
            }
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        let line = self.line;
        self.bump();
        while !self.done() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.bump();
            }
            self.bump();
        }
        self.bump();
        self.push(LITERAL.to_string(), line);
    }

    /// A string after `r`, with as many hashes as it begins with.
    fn raw_string(&mut self, hashes: usize) {
        let line = self.line;
        for _ in 0..=hashes {
            self.bump();
        }
        while !self.done() {
            let closes = self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#');
            self.bump();
            if closes {
                (0..hashes).for_each(|_| self.bump());
                break;
            }
        }
        self.push(LITERAL.to_string(), line);
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let line = self.line;
        if self.peek(1) == '\\' || self.peek(2) == '\'' {
            self.bump();
            while !self.done() && self.peek(0) != '\'' {
                if self.peek(0) == '\\' {
                    self.bump();
                }
                self.bump();
            }
            self.bump();
            self.push(LITERAL.to_string(), line);
            return;
        }
        let mut text = String::from("'");
        self.bump();
        while is_word(self.peek(0)) {
            text.push(self.peek(0));
            self.bump();
        }
        self.push(text, line);
    }

    fn word(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while is_word(self.peek(0)) {
            text.push(self.peek(0));
            self.bump();
        }
        let hashes = (0..).take_while(|&ahead| self.peek(ahead) == '#').count();
        match text.as_str() {
            "r" | "br" | "cr" if self.peek(hashes) == '"' => self.raw_string(hashes),
            "b" | "c" if self.peek(0) == '"' => self.string(),
            "b" if self.peek(0) == '\'' => self.quote(),
            _ => self.push(text, line),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        lex(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_vanish_and_strings_lose_their_content() {
        assert_eq!(words("a /* b /* c */ d */ e // f\n\"g\\\"h\" i"), ["a", "e", LITERAL, "i"]);
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        assert_eq!(words(r###"r#"a " b"# c br"d" e"###), [LITERAL, "c", LITERAL, "e"]);
    }

    #[test]
    fn lifetimes_and_characters_are_told_apart() {
        assert_eq!(words(r"&'a str '{' '\'' b'\n' x"), ["&", "'a", "str", LITERAL, LITERAL, LITERAL, "x"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let last = lex("\"a\nb\" /*\n*/ c").pop().expect("a token");
        assert_eq!(last, Token { text: "c".to_string(), line: 3 });
    }

    #[test]
    fn a_bracket_closes_where_its_depth_returns_to_zero() {
        let tokens = lex("{ a ( b ) { c } } d");
        assert_eq!(tokens[after_closing(&tokens, 0)].text, "d");
    }
}
