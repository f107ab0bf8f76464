//! Selection of an enrollment token.

use pki::names::TokenId;

use crate::{context::Context, error::CommandError, options::project::ProjectOption};

use super::view::TokenView;

#[derive(clap::Args)]
pub(crate) struct TokenSelector {
    #[command(flatten)]
    pub(super) project: ProjectOption,
    /// Enrollment token id, tok_….
    pub(super) token: TokenId,
}

impl TokenSelector {
    /// Reads the token.
    ///
    /// # Errors
    /// If it does not exist, or DynamoDB is unavailable.
    pub(super) async fn view(&self, context: &Context) -> anyhow::Result<TokenView> {
        let (project, token) = (self.project.project, self.token);
        let record = context.store.token(project, token).await?;
        let missing = || CommandError::Missing(format!("token {token} in project {project}"));
        Ok(TokenView::from(record.ok_or_else(missing)?))
    }
}
