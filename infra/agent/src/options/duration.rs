//! Parses durations from the command line.

use std::time::Duration;

/// Parses a number followed by `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// If `text` has another form; the message describes the expected one.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "must be a number followed by ms, s, m, h or d, such as 500ms or 3d";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(FORM),
    };
    let number = number.parse::<u64>().map_err(|_| FORM)?;
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_durations() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("3d"), Ok(Duration::from_secs(3 * 86_400)));
        for wrong in ["", "s", "2", "-2s", "+2s", "1.5s", "2 s", "2é", "99999999999999999999d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
