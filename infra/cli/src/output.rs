//! Text for people, JSON and CSV for programs.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::Value;

use crate::exit::usage;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one document.
    Json,
    /// For programs that read as it comes: a document a line, of lists an item a line.
    Jsonl,
    /// For spreadsheets: a cell that would be a formula there begins with an apostrophe. Only of device
    /// list, device find, token list and token devices.
    Csv,
}

impl Format {
    pub(crate) fn print<T: Serialize + fmt::Display>(self, result: &T) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Text => writeln!(out, "{}", in_order(&result.to_string()))?,
            Self::Json => writeln!(out, "{}", serde_json::to_string_pretty(result)?)?,
            Self::Jsonl => match serde_json::to_value(result)? {
                Value::Array(items) => {
                    items.iter().try_for_each(|item| writeln!(out, "{item}"))?;
                }
                _ => writeln!(out, "{}", serde_json::to_string(result)?)?,
            },
            Self::Csv => return Err(Self::no_csv()),
        }
        Ok(())
    }

    /// Refuses `csv` for what is no list, before anything is done that could not be shown then.
    pub(crate) fn expect_document(self) -> anyhow::Result<()> {
        if self == Self::Csv { Err(Self::no_csv()) } else { Ok(()) }
    }

    fn no_csv() -> anyhow::Error {
        usage("--output csv is for device list, device find, token list and token devices")
    }
}

/// Rows under a header, in columns as wide as their widest cell.
pub(crate) struct Table<const COLUMNS: usize> {
    pub(crate) header: [&'static str; COLUMNS],
    pub(crate) rows: Vec<[String; COLUMNS]>,
    pub(crate) none: &'static str,
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return f.write_str(self.none);
        }
        let mut widths = self.header.map(str::len);
        for row in &self.rows {
            widen(&mut widths, row);
        }
        f.write_str(&line(&self.header, &widths))?;
        self.rows.iter().try_for_each(|row| write!(f, "\n{}", line(row, &widths)))
    }
}

/// Makes the columns wide enough for `cells`.
pub(crate) fn widen(widths: &mut [usize], cells: &[String]) {
    for (width, cell) in widths.iter_mut().zip(cells) {
        *width = (*width).max(cell.chars().count());
    }
}

/// The cells in columns of these widths. No trailing white space, so that output pastes and greps
/// well.
pub(crate) fn line<T: AsRef<str>>(cells: &[T], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cell.as_ref()));
    in_order(cells.collect::<Vec<_>>().join("  ").trim_end())
}

/// Without the characters that have a terminal show what follows in another order (Unicode Standard Annex #9,
/// sections 2.1 to 2.4): a device chooses its label, and could make a line read as another's. They are
/// escaped, as in `\u{202e}`. Letters that are written from right to left are shown as they are.
fn in_order(text: &str) -> String {
    let is_order = |it: char| matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_order(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_characters() {
        let rows = vec![["é".into(), "x".into()], ["long".into(), "y".into()]];
        let table = Table { header: ["id", "label"], rows, none: "none" };
        assert_eq!(table.to_string(), "id    label\né     x\nlong  y");
    }

    #[test]
    fn a_label_does_not_reorder_its_line() {
        let line = line(&["dev_1", "pump \u{202e}evitca", "held"], &[5, 1, 4]);
        assert_eq!(line, "dev_1  pump \\u{202e}evitca  held");
        assert_eq!(in_order("\u{2067}a\u{2069}"), "\\u{2067}a\\u{2069}");
        assert_eq!(in_order("משאבה 7"), "משאבה 7");
    }
}
