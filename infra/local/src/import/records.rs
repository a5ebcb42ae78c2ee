//! Lines of a file as rows of fields, whatever is wrong with them.

use super::file::Input;
use super::row::Reason;
use csv_core::ReadRecordResult;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// The longest row in bytes. One that is longer is rejected, its text cut off here.
pub const MAX_ROW_BYTES: usize = 16 * 1024;

/// The most lines that a row with line breaks in its quotes may take: a quote that is never closed costs one row, not
/// the rest of the file.
const MAX_ROW_LINES: usize = 8;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads rows one at a time.
pub(super) struct Records {
    input: Input,
    splitter: csv_core::Reader,
    /// Lines that were read ahead for a row that they turned out not to belong to.
    ahead: VecDeque<Line>,
    /// How many fields a row must have.
    columns: usize,
    lines: u64,
    rows: u64,
}

/// A row.
#[derive(Debug)]
pub(super) struct Record {
    /// From 1 after the header.
    pub row: u64,
    /// The line where it begins, from 1.
    pub line: u64,
    /// Its text, without the line's end.
    pub raw: String,
    /// Its fields, as many as the header has.
    pub fields: Result<Fields, Reason>,
}

/// The fields of a row, without their quotes.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: String,
    ends: Vec<usize>,
}

struct Line {
    number: u64,
    text: String,
    cut: bool,
}

impl Records {
    pub(super) fn new(input: Input) -> Self {
        let splitter = csv_core::Reader::new();
        Self { input, splitter, ahead: VecDeque::new(), columns: 0, lines: 0, rows: 0 }
    }

    /// The first line that isn't blank, or none. One that isn't a row has no fields.
    pub(super) fn header(&mut self) -> io::Result<Option<Fields>> {
        while let Some(line) = self.next_line()? {
            if !line.is_blank() {
                return Ok(Some(self.split(&line.text).unwrap_or_default()));
            }
        }
        Ok(None)
    }

    pub(super) fn expect_columns(&mut self, columns: usize) {
        self.columns = columns;
    }

    /// The next row, or none at the end. Blank lines are no rows.
    pub(super) fn next_record(&mut self) -> io::Result<Option<Record>> {
        while let Some(line) = self.next_line()? {
            if line.is_blank() {
                continue;
            }
            self.rows += 1;
            let row = self.rows;
            let number = line.number;
            let (raw, fields) = if line.cut {
                (line.text, Err(Reason::TooLong))
            } else if let Some(fields) = self.split(&line.text) {
                let found = fields.ends.len();
                let expected = self.columns;
                (
                    line.text,
                    if found == expected { Ok(fields) } else { Err(Reason::Columns { found, expected }) },
                )
            } else if let Some((raw, fields)) = self.continued(&line.text)? {
                (raw, Ok(fields))
            } else {
                (line.text, Err(Reason::OpenQuote))
            };
            return Ok(Some(Record { row, line: number, raw, fields }));
        }
        Ok(None)
    }

    /// Looks for the end of a row whose first line leaves a quote open. Where the lines that follow don't make it a
    /// row of the right width, they are left for themselves.
    fn continued(&mut self, first: &str) -> io::Result<Option<(String, Fields)>> {
        let mut raw = first.to_owned();
        let mut taken = Vec::new();
        while taken.len() + 1 < MAX_ROW_LINES {
            let Some(line) = self.next_line()? else { break };
            let cut = line.cut;
            raw.push('\n');
            raw.push_str(&line.text);
            taken.push(line);
            if cut || raw.len() > MAX_ROW_BYTES {
                break;
            }
            if let Some(fields) = self.split(&raw) {
                if fields.ends.len() == self.columns {
                    return Ok(Some((raw, fields)));
                }
                break;
            }
        }
        for line in taken.into_iter().rev() {
            self.ahead.push_front(line);
        }
        Ok(None)
    }

    /// The fields of a text, or none if it leaves a quote open.
    fn split(&mut self, text: &str) -> Option<Fields> {
        self.splitter.reset();
        // A record has at most one field more than it has commas; the splitter asks for room to spare.
        let mut output = vec![0; text.len() + 1];
        let mut ends = vec![0; text.bytes().filter(|it| *it == b',').count() + 2];
        let (_, _, written, ended) = self.splitter.read_record(text.as_bytes(), &mut output, &mut ends);
        let (result, _, more, last) =
            self.splitter.read_record(b"\n", &mut output[written..], &mut ends[ended..]);
        if result != ReadRecordResult::Record {
            return None;
        }
        output.truncate(written + more);
        ends.truncate(ended + last);
        // Only quotes are taken out, so that what is left of UTF-8 is UTF-8.
        String::from_utf8(output).ok().map(|text| Fields { text, ends })
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::with_capacity(160);
        // Room for the line's end, so that a line of just the limit isn't cut.
        let room = MAX_ROW_BYTES as u64 + 2;
        if (&mut self.input).take(room).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.lines += 1;
        if bytes.ends_with(b"\n") {
            bytes.pop();
        } else if bytes.len() as u64 == room {
            self.input.skip_until(b'\n')?;
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        let cut = bytes.len() > MAX_ROW_BYTES;
        bytes.truncate(MAX_ROW_BYTES);
        if self.lines == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(error.as_bytes());
            text.into_owned()
        });
        Ok(Some(Line { number: self.lines, text, cut }))
    }
}

impl Line {
    fn is_blank(&self) -> bool {
        !self.cut && self.text.trim().is_empty()
    }
}

impl Fields {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    pub(super) fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }
}
