//! Output of an enrollment token with its secret.

use std::fmt;

use pki::{names::TokenId, token::EnrollmentToken};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::context::Context;

#[derive(Serialize)]
struct TokenWithSecret {
    token_id: TokenId,
    enrollment_token: Zeroizing<String>,
}

impl fmt::Display for TokenWithSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.token_id, *self.enrollment_token)
    }
}

/// Prints a token with its secret.
pub(super) fn print(context: &Context, token: &EnrollmentToken) -> anyhow::Result<()> {
    let enrollment_token = token.expose();
    context.output.print(&TokenWithSecret { token_id: token.subject(), enrollment_token })
}
