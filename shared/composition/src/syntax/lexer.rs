//! Tokens of the GraphQL specification's section 2.1.

use std::iter::Peekable;
use std::str::CharIndices;

use super::{Pos, SyntaxError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `! $ & ( ) ... : = @ [ ] { | }`
    Punctuator(&'static str),
    Name(String),
    Number(String),
    Text(String),
    End,
}

impl Token {
    /// As an error calls it.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Punctuator(text) => format!("`{text}`"),
            Self::Name(text) | Self::Number(text) => format!("`{text}`"),
            Self::Text(_) => "a string".to_owned(),
            Self::End => "the end of the text".to_owned(),
        }
    }
}

/// All tokens of a text, an end among them.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Pos)>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer { text, chars: text.char_indices().peekable(), pos: Pos { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_ignored();
        let pos = lexer.pos;
        let token = lexer.token()?;
        let ends = token == Token::End;
        tokens.push((token, pos));
        if ends {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    pos: Pos,
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, char)| *char)
    }

    fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(offset, _)| *offset)
    }

    fn next(&mut self) -> Option<char> {
        let (_, char) = self.chars.next()?;
        // `\r\n` ends one line, as its `\n` does.
        if char == '\n' || (char == '\r' && self.peek() != Some('\n')) {
            self.pos = Pos { line: self.pos.line + 1, column: 1 };
        } else {
            self.pos.column += 1;
        }
        Some(char)
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.next();
        }
    }

    fn skip_ignored(&mut self) {
        while let Some(char) = self.peek() {
            match char {
                ' ' | '\t' | '\n' | '\r' | ',' | '\u{feff}' => {
                    self.next();
                }
                '#' => self.take_while(|char| char != '\n' && char != '\r'),
                _ => return,
            }
        }
    }

    fn error(pos: Pos, message: impl Into<String>) -> SyntaxError {
        SyntaxError { message: message.into(), pos }
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        let (start, pos) = (self.offset(), self.pos);
        let Some(char) = self.peek() else { return Ok(Token::End) };
        Ok(match char {
            'a'..='z' | 'A'..='Z' | '_' => {
                self.take_while(|char| char.is_ascii_alphanumeric() || char == '_');
                let end = self.offset();
                Token::Name(self.text[start..end].to_owned())
            }
            '-' | '0'..='9' => self.number(start, pos)?,
            '"' => Token::Text(self.text_value(pos)?),
            '.' => {
                if !self.text[start..].starts_with("...") {
                    return Err(Self::error(pos, "a lone `.`: a spread is `...`"));
                }
                for _ in 0..3 {
                    self.next();
                }
                Token::Punctuator("...")
            }
            _ => {
                let known = ["!", "$", "&", "(", ")", ":", "=", "@", "[", "]", "{", "|", "}"];
                let Some(text) = known.into_iter().find(|text| text.starts_with(char)) else {
                    return Err(Self::error(pos, format!("the character {char:?} has no meaning here")));
                };
                self.next();
                Token::Punctuator(text)
            }
        })
    }

    fn number(&mut self, start: usize, pos: Pos) -> Result<Token, SyntaxError> {
        if self.peek() == Some('-') {
            self.next();
        }
        let digits = self.offset();
        self.take_while(|char| char.is_ascii_digit());
        let end = self.offset();
        let whole = &self.text[digits..end];
        let mut valid = !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
        if self.peek() == Some('.') {
            self.next();
            valid &= self.peek().is_some_and(|char| char.is_ascii_digit());
            self.take_while(|char| char.is_ascii_digit());
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.next();
            if matches!(self.peek(), Some('+' | '-')) {
                self.next();
            }
            valid &= self.peek().is_some_and(|char| char.is_ascii_digit());
            self.take_while(|char| char.is_ascii_digit());
        }
        valid &= !self.peek().is_some_and(|char| char.is_ascii_alphabetic() || matches!(char, '_' | '.'));
        let end = self.offset();
        let text = self.text[start..end].to_owned();
        if valid { Ok(Token::Number(text)) } else { Err(Self::error(pos, format!("`{text}` is no number"))) }
    }

    fn text_value(&mut self, pos: Pos) -> Result<String, SyntaxError> {
        let start = self.offset();
        if self.text[start..].starts_with("\"\"\"") {
            return self.block(pos);
        }
        self.next();
        let mut value = String::new();
        loop {
            let at = self.pos;
            match self.next() {
                Some('"') => return Ok(value),
                None | Some('\n' | '\r') => {
                    return Err(Self::error(pos, "the string does not end on its line"));
                }
                Some('\\') => value.push(self.escape(at)?),
                Some(char) => value.push(char),
            }
        }
    }

    fn escape(&mut self, at: Pos) -> Result<char, SyntaxError> {
        let unknown = || {
            Self::error(
                at,
                "an escape that is not known: use `\\\"`, `\\\\`, `\\n` or, for any character, the likes of `\\u00e9`",
            )
        };
        Ok(match self.next().ok_or_else(unknown)? {
            '"' => '"',
            '\\' => '\\',
            '/' => '/',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.code_unit(at)?;
                // A pair of surrogates stands for one character.
                let code = if (0xD800..0xDC00).contains(&first) {
                    if self.next() != Some('\\') || self.next() != Some('u') {
                        return Err(unknown());
                    }
                    let second = self.code_unit(at)?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(unknown());
                    }
                    0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        })
    }

    fn code_unit(&mut self, at: Pos) -> Result<u32, SyntaxError> {
        let unknown = || Self::error(at, "a `\\u` takes hexadecimal digits: four, or some in braces");
        let mut code: u32 = 0;
        if self.peek() == Some('{') {
            self.next();
            loop {
                match self.next().ok_or_else(unknown)? {
                    '}' => return Ok(code),
                    digit => {
                        let digit = digit.to_digit(16).ok_or_else(unknown)?;
                        code = code
                            .checked_mul(16)
                            .and_then(|code| code.checked_add(digit))
                            .ok_or_else(unknown)?;
                    }
                }
            }
        }
        for _ in 0..4 {
            code = code * 16 + self.next().and_then(|char| char.to_digit(16)).ok_or_else(unknown)?;
        }
        Ok(code)
    }

    fn block(&mut self, pos: Pos) -> Result<String, SyntaxError> {
        for _ in 0..3 {
            self.next();
        }
        let mut raw = String::new();
        loop {
            let at = self.offset();
            let rest = &self.text[at..];
            if rest.starts_with("\"\"\"") {
                for _ in 0..3 {
                    self.next();
                }
                return Ok(block_value(&raw));
            }
            if rest.starts_with("\\\"\"\"") {
                for _ in 0..4 {
                    self.next();
                }
                raw.push_str("\"\"\"");
                continue;
            }
            match self.next() {
                Some(char) => raw.push(char),
                None => return Err(Self::error(pos, "the block string does not end: `\"\"\"` is missing")),
            }
        }
    }
}

/// The value of a block string: the indent that its lines share, and empty lines around it, taken off
/// (GraphQL, section 2.9.4, `BlockStringValue`).
fn block_value(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = raw.split('\n').collect();
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let is_blank = |line: &&str| line.trim_matches([' ', '\t']).is_empty();
    let indent =
        lines.iter().skip(1).filter(|line| !is_blank(line)).map(|line| indent_of(line)).min().unwrap_or(0);
    let mut cut: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| if index == 0 { line } else { line.get(indent..).unwrap_or("") })
        .collect();
    while cut.first().is_some_and(is_blank) {
        cut.remove(0);
    }
    while cut.last().is_some_and(is_blank) {
        cut.pop();
    }
    cut.join("\n")
}
