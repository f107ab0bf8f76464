//! Tables for people.

use std::fmt;

/// A table with a header; each column is as wide as its widest cell.
pub(crate) struct Table<const COLUMNS: usize> {
    pub(crate) header: [&'static str; COLUMNS],
    pub(crate) rows: Vec<[String; COLUMNS]>,
    /// Printed instead of a table without rows.
    pub(crate) empty: &'static str,
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return f.write_str(self.empty);
        }
        let mut widths = self.header.map(str::len);
        for row in &self.rows {
            widen(&mut widths, row);
        }
        f.write_str(&line(&self.header, &widths))?;
        self.rows.iter().try_for_each(|row| write!(f, "\n{}", line(row, &widths)))
    }
}

/// Widens the columns to fit `cells`.
pub(crate) fn widen(widths: &mut [usize], cells: &[String]) {
    for (width, cell) in widths.iter_mut().zip(cells) {
        *width = (*width).max(cell.chars().count());
    }
}

/// Returns a line of cells in columns of these widths, without trailing white space.
pub(crate) fn line<T: AsRef<str>>(cells: &[T], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cell.as_ref()));
    escape_bidi(cells.collect::<Vec<_>>().join("  ").trim_end())
}

/// Escapes the control characters of the bidirectional algorithm, as in `\u{202e}` (Unicode Standard Annex
/// #9, sections 2.1 to 2.4). A device chooses its own label, and could make its line read as another
/// device's. Right-to-left letters stay as they are.
pub(super) fn escape_bidi(text: &str) -> String {
    let is_control = |it: char| matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_control(letter) {
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
        let table = Table { header: ["id", "label"], rows, empty: "none" };
        assert_eq!(table.to_string(), "id    label\né     x\nlong  y");
    }

    #[test]
    fn a_label_does_not_reorder_its_line() {
        let line = line(&["dev_1", "pump \u{202e}evitca", "held"], &[5, 1, 4]);
        assert_eq!(line, "dev_1  pump \\u{202e}evitca  held");
        assert_eq!(escape_bidi("\u{2067}a\u{2069}"), "\\u{2067}a\\u{2069}");
        assert_eq!(escape_bidi("משאבה 7"), "משאבה 7");
    }
}
