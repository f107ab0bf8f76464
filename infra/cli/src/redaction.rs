//! Tokens among the arguments of a command line that is refused.

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};

use crate::Arguments;

/// Parts of an error that repeat an argument.
const REPEATED: [ContextKind; 3] =
    [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
/// The prefixes of enrollment tokens and device tokens.
const TOKENS: [&str; 2] = ["et_", "dt_"];

impl Arguments {
    /// Parses the command line, or prints why it is refused and exits. The message does not repeat a
    /// token that was pasted in place of its id: the output of a script ends up in logs.
    #[must_use]
    pub fn from_command_line() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_tokens(error).exit())
    }
}

fn without_tokens(mut error: clap::Error) -> clap::Error {
    for kind in REPEATED {
        let Some(ContextValue::String(value)) = error.get(kind) else { continue };
        if let Some(prefix) = TOKENS.into_iter().find(|prefix| value.starts_with(prefix)) {
            error.insert(kind, ContextValue::String(format!("{prefix}…")));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let error = Arguments::try_parse_from(line.split(' ')).err().expect("it is refused");
        without_tokens(error).to_string()
    }

    #[test]
    fn a_refused_token_is_not_repeated() {
        const SECRET: &str = "0123456789abcdefghij";
        for line in [
            "birthcert token show --project proj_0000000000000000000000 et_0123456789abcdefghij",
            "birthcert token et_0123456789abcdefghij",
            "birthcert ca list et_0123456789abcdefghij",
            "birthcert device show dt_0123456789abcdefghij",
            "birthcert device revoke dt_0123456789abcdefghij --yes",
            "birthcert device list --token et_0123456789abcdefghij",
        ] {
            let message = refused(line);
            assert!(!message.contains(SECRET), "{line}: {message}");
            assert!(message.contains("et_…") || message.contains("dt_…"), "{line}: {message}");
        }
    }

    #[test]
    fn any_other_argument_is_repeated() {
        let message = refused("birthcert device show dev_12");
        assert!(message.contains("'dev_12'"), "{message}");
    }
}
