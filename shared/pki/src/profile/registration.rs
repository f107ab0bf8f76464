//! Proofs to AWS IoT that a CA is ours.

use std::{fmt, str::FromStr};

/// What AWS IoT gives an account to put into a certificate by a CA that it is to register.
///
/// 64 hex digits; so it is no device's id, and no [`Host`](crate::names::Host) of that length either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationCode(String);

/// A text that is no registration code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a registration code of AWS IoT: it should be 64 hex digits")]
pub struct InvalidCode;

impl FromStr for RegistrationCode {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let is_code = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_code.then(|| Self(text.to_owned())).ok_or(InvalidCode)
    }
}

impl fmt::Display for RegistrationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RegistrationCode {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_64_hex_digits_and_so_no_device() {
        let code = "0123456789abcdefABCDEF0123456789".repeat(2);
        assert_eq!(code.parse::<RegistrationCode>().unwrap().to_string(), code);
        let device = format!("dev_{}", "0".repeat(60));
        for wrong in ["", &code[1..], &format!("{code}0"), &device] {
            assert_eq!(wrong.parse::<RegistrationCode>(), Err(InvalidCode), "{wrong}");
        }
    }
}
