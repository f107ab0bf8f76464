//! Times on the command line.

use pki::clock::Timestamp;

/// Parses a time in UTC, or a date, which stands for midnight UTC.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let is_date = text.len() == "2027-01-31".len();
    let time = if is_date { format!("{text}T00:00:00Z").parse() } else { text.parse() };
    time.map_err(|_| {
        "expected a time in UTC, such as 2027-01-31T12:00:00Z, or a date, such as 2027-01-31".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight() {
        assert_eq!(parse("2027-01-31"), parse("2027-01-31T00:00:00Z"));
        assert_eq!(parse("2027-01-15T08:00:00Z"), Ok(Timestamp::from_unix(1_800_000_000)));
        for text in ["", "tomorrow", "2027-02-30", "2027-01-31T12:00:00", "2027-01-31 12:00"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
