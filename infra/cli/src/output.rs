//! Text for people, JSON for programs.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one document.
    Json,
}

impl Format {
    pub(crate) fn print<T: Serialize + fmt::Display>(self, result: &T) -> anyhow::Result<()> {
        match self {
            Self::Text => println!("{result}"),
            Self::Json => println!("{}", serde_json::to_string_pretty(result)?),
        }
        Ok(())
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
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; COLUMNS]| -> fmt::Result {
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                // No trailing white space, so that output pastes and greps well.
                let width = if column + 1 == COLUMNS { 0 } else { width };
                write!(f, "{gap}{cell:width$}")?;
            }
            Ok(())
        };
        line(f, self.header)?;
        for row in &self.rows {
            writeln!(f)?;
            line(f, row.each_ref().map(String::as_str))?;
        }
        Ok(())
    }
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
}
