//! Labels: names of devices, projects and batches for people.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::invisible::is_invisible;

/// The most characters of a label.
const MAX_CHARACTERS: usize = 128;

/// A label: 1 to 128 characters, trimmed, without control characters and invisible ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Label(String);

/// The error for a text that is not a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum InvalidLabel {
    /// The text is empty or only white space.
    Empty,
    /// The text has more than 128 characters.
    TooLong,
    /// The text has a control character (Unicode category Cc), such as a line feed.
    Control,
    /// The text has an invisible character (Unicode categories Cf, Zl and Zp), with which it could look like
    /// another label.
    Invisible,
}

impl InvalidLabel {
    /// Returns the message, which is also that of `Display`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "the label is empty",
            Self::TooLong => "the label is longer than 128 characters",
            Self::Control => "the label contains control characters",
            Self::Invisible => {
                "the label contains invisible characters, such as a zero-width space or a change of the \
                 text's direction: remove them"
            }
        }
    }
}

impl Label {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Label {
    type Error = InvalidLabel;

    fn try_from(text: &str) -> Result<Self, InvalidLabel> {
        // Checked before trimming, so that a trailing line feed is reported and not removed.
        if text.chars().any(char::is_control) {
            return Err(InvalidLabel::Control);
        }
        if text.chars().any(is_invisible) {
            return Err(InvalidLabel::Invisible);
        }
        let text = text.trim();
        match text.chars().take(MAX_CHARACTERS + 1).count() {
            0 => Err(InvalidLabel::Empty),
            n if n > MAX_CHARACTERS => Err(InvalidLabel::TooLong),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        Self::try_from(text)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        Self::try_from(text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_not_bytes() {
        assert!(Label::try_from("é".repeat(128).as_str()).is_ok());
        assert_eq!(Label::try_from("é".repeat(129).as_str()), Err(InvalidLabel::TooLong));
    }

    #[test]
    fn trims() {
        assert_eq!(Label::try_from("  pump 7 ").unwrap().as_str(), "pump 7");
        assert_eq!(Label::try_from("   "), Err(InvalidLabel::Empty));
        assert_eq!(Label::try_from(""), Err(InvalidLabel::Empty));
    }

    #[test]
    fn refuses_control_characters_of_every_plane() {
        for control in ["a\nb", "a\0", "\u{1b}[31m", "a\u{85}", "\u{7f}", "a\r\n"] {
            assert_eq!(Label::try_from(control), Err(InvalidLabel::Control), "{control:?}");
        }
    }

    #[test]
    fn refuses_characters_that_do_not_show() {
        for text in ["pump\u{200b}7", "\u{feff}pump", "pump \u{202e}7", "\u{ad}", "a\u{2028}b"] {
            assert_eq!(Label::try_from(text), Err(InvalidLabel::Invisible), "{text:?}");
        }
        assert_eq!(Label::try_from("משאבה 7 🔧").unwrap().as_str(), "משאבה 7 🔧");
    }

    #[test]
    fn reads_as_it_is_written() {
        let label: Label = " pump 7".parse().unwrap();
        assert_eq!((label.as_str(), label.to_string().as_str()), ("pump 7", "pump 7"));
        assert_eq!(serde_json::to_string(&label).unwrap(), "\"pump 7\"");
        assert_eq!(serde_json::from_str::<Label>("\"pump 7\"").unwrap(), label);
        assert!(serde_json::from_str::<Label>("\"\"").is_err());
        assert_eq!(InvalidLabel::Empty.to_string(), "the label is empty");
    }
}
