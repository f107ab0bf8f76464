//! Registration codes, with which AWS IoT verifies who owns a CA.

use std::{fmt, str::FromStr};

/// A registration code of AWS IoT. A certificate with this common name proves that the account controls
/// the CA that it registers.
///
/// A code has 64 hex digits, so it cannot be a device id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationCode(String);

/// The error for a text that is not a registration code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid AWS IoT registration code: it must be 64 hex digits")]
pub struct InvalidRegistrationCode;

impl FromStr for RegistrationCode {
    type Err = InvalidRegistrationCode;

    fn from_str(text: &str) -> Result<Self, InvalidRegistrationCode> {
        let is_code = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_code.then(|| Self(text.to_owned())).ok_or(InvalidRegistrationCode)
    }
}

impl fmt::Display for RegistrationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RegistrationCode {
    /// Returns the code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_64_hex_digits_and_never_a_device() {
        let code = "0123456789abcdefABCDEF0123456789".repeat(2);
        let read: RegistrationCode = code.parse().unwrap();
        assert_eq!((read.as_str(), read.to_string().as_str()), (&code[..], &code[..]));
        let device = format!("dev_{}", "0".repeat(60));
        for wrong in ["", &code[1..], &format!("{code}0"), &device] {
            assert_eq!(wrong.parse::<RegistrationCode>(), Err(InvalidRegistrationCode), "{wrong}");
        }
    }
}
