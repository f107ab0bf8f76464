//! Enrollment tokens and device tokens.

use pki::token::{DeviceToken, EnrollmentToken};

/// Tries one input.
pub fn tokens(text: &str) {
    if let Ok(token) = EnrollmentToken::parse(text) {
        assert_eq!(*token.expose(), text);
    }
    if let Ok(token) = DeviceToken::parse(text) {
        assert_eq!(*token.expose(), text);
    }
}
