//! Lists of any length, written row by row.

use std::{
    error::Error as _,
    io::{self, BufWriter, Stdout, Write},
    marker::PhantomData,
};

use serde::Serialize;

use super::{
    format::Format,
    table::{line, widen},
};

/// Number of rows that determine the widths of a text's columns. Ids and times all have the same length,
/// so later rows fit as well.
const MEASURED_ROWS: usize = 500;

/// A row of a list.
pub(crate) trait Row: Serialize {
    /// Headers in text.
    const TITLES: &'static [&'static str];
    /// Cells in text.
    fn cells(&self) -> Vec<String>;
    /// Headers in CSV: the names of the JSON fields.
    const FIELDS: &'static [&'static str];
    /// Cells in CSV.
    fn record(&self) -> Vec<String>;
}

/// Writes a list row by row.
pub(crate) struct RowWriter<R, W: Write = BufWriter<Stdout>> {
    out: W,
    format: Format,
    written: usize,
    /// Printed instead of a text without rows.
    empty: &'static str,
    /// Rows of a text that wait for the widths of the columns.
    measured: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    rows: PhantomData<R>,
}

impl<R: Row> RowWriter<R> {
    /// Writes to standard output.
    pub(crate) fn new(format: Format, empty: &'static str) -> Self {
        Self::to(BufWriter::new(std::io::stdout()), format, empty)
    }
}

impl<R: Row, W: Write> RowWriter<R, W> {
    fn to(out: W, format: Format, empty: &'static str) -> Self {
        let (measured, widths, rows) = (Vec::new(), None, PhantomData);
        Self { out, format, written: 0, empty, measured, widths, rows }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &R) -> anyhow::Result<()> {
        let is_first = self.written == 0;
        self.written += 1;
        match self.format {
            Format::Text => {
                let cells = row.cells();
                match &self.widths {
                    Some(widths) => writeln!(self.out, "{}", line(&cells, widths))?,
                    None => self.measured.push(cells),
                }
                if self.measured.len() == MEASURED_ROWS {
                    self.measure()?;
                }
            }
            Format::Json => {
                let item = serde_json::to_string_pretty(row)?.replace('\n', "\n  ");
                write!(self.out, "{}\n  {item}", if is_first { "[" } else { "," })?;
            }
            Format::Jsonl => writeln!(self.out, "{}", serde_json::to_string(row)?)?,
            Format::Csv => {
                if is_first {
                    self.csv(R::FIELDS.iter().map(|&field| field.to_owned()))?;
                }
                self.csv(row.record().into_iter().map(neutralize_formula))?;
            }
        }
        Ok(())
    }

    /// Flushes the rows written so far, at the end of a page.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    /// Ends the list.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        match (self.format, self.written) {
            (Format::Text, 0) => writeln!(self.out, "{}", self.empty)?,
            (Format::Text, _) => self.measure()?,
            (Format::Json, 0) => writeln!(self.out, "[]")?,
            (Format::Json, _) => writeln!(self.out, "\n]")?,
            (Format::Csv, 0) => self.csv(R::FIELDS.iter().map(|&field| field.to_owned()))?,
            (Format::Jsonl | Format::Csv, _) => {}
        }
        self.flush()
    }

    /// Determines the columns' widths and writes the rows that waited for them.
    fn measure(&mut self) -> anyhow::Result<()> {
        if self.widths.is_some() {
            return Ok(());
        }
        let mut widths: Vec<usize> = R::TITLES.iter().map(|title| title.len()).collect();
        self.measured.iter().for_each(|cells| widen(&mut widths, cells));
        writeln!(self.out, "{}", line(R::TITLES, &widths))?;
        for cells in self.measured.drain(..) {
            writeln!(self.out, "{}", line(&cells, &widths))?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    fn csv(&mut self, cells: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.out);
        writer.write_record(cells).map_err(unwrapped)?;
        Ok(writer.flush()?)
    }
}

/// Prefixes an apostrophe to a cell that a spreadsheet would evaluate as a formula: devices choose their own
/// labels.
fn neutralize_formula(cell: String) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{cell}") } else { cell }
}

/// Returns the I/O error inside a CSV error, so that a closed pipe is recognized.
fn unwrapped(error: csv::Error) -> anyhow::Error {
    let io = error.source().and_then(|it| it.downcast_ref::<io::Error>()).map(io::Error::kind);
    io.map_or_else(|| error.into(), |kind| io::Error::from(kind).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pump {
        id: &'static str,
        label: &'static str,
    }

    impl Row for Pump {
        const TITLES: &'static [&'static str] = &["ID", "LABEL"];
        const FIELDS: &'static [&'static str] = &["id", "label"];

        fn cells(&self) -> Vec<String> {
            vec![self.id.into(), self.label.into()]
        }

        fn record(&self) -> Vec<String> {
            self.cells()
        }
    }

    fn listed(format: Format, pumps: &[Pump]) -> String {
        let mut out = Vec::new();
        let mut listing = RowWriter::to(&mut out, format, "no pumps");
        pumps.iter().for_each(|pump| listing.push(pump).unwrap());
        listing.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    const TWO: [Pump; 2] =
        [Pump { id: "1", label: "a \"big\" one, of two" }, Pump { id: "22", label: "" }];

    #[test]
    fn each_format_is_itself_whatever_the_length() {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(listed(Format::Text, &TWO), "ID  LABEL\n1   a \"big\" one, of two\n22\n");
        assert_eq!(value(&listed(Format::Json, &TWO)), serde_json::to_value(&TWO).unwrap());
        let lines = listed(Format::Jsonl, &TWO);
        assert_eq!(lines.lines().map(value).collect::<Vec<_>>()[1]["id"], "22");
        assert_eq!(listed(Format::Csv, &TWO), "id,label\n1,\"a \"\"big\"\" one, of two\"\n22,\n");

        assert_eq!(listed(Format::Text, &[]), "no pumps\n");
        assert_eq!(listed(Format::Json, &[]), "[]\n");
        assert_eq!(listed(Format::Jsonl, &[]), "");
        assert_eq!(listed(Format::Csv, &[]), "id,label\n");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for label in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"] {
            let csv = listed(Format::Csv, &[Pump { id: "1", label }]);
            assert!(csv.contains(&format!("1,'{label}\n")), "{csv}");
            assert!(listed(Format::Jsonl, &[Pump { id: "1", label }]).contains(label));
        }
        let csv = listed(Format::Csv, &[Pump { id: "1", label: "a=b" }]);
        assert!(csv.contains("1,a=b\n"), "{csv}");
    }

    #[test]
    fn a_long_text_keeps_its_columns() {
        let pumps = (0..=MEASURED_ROWS).map(|n| {
            let label = if n == MEASURED_ROWS { "last" } else { "x" };
            Pump { id: "1234", label }
        });
        let text = listed(Format::Text, &pumps.collect::<Vec<_>>());
        assert_eq!(text.lines().count(), MEASURED_ROWS + 2);
        assert!(text.ends_with("\n1234  last\n"), "{text}");
    }
}
