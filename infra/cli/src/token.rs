//! `birthcert token`: enrollment tokens.

mod create;
mod secret;
mod selector;
mod update;
mod view;

use std::fmt;

use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::store::TokenStatus;
use pki::{names::TokenId, token::EnrollmentToken};
use serde::Serialize;

use crate::{
    context::Context,
    device::list::{Page, list_of_token},
    help::with_examples,
    options::project::ProjectOption,
    output::rows::RowWriter,
};
use selector::TokenSelector;
use view::TokenView;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create an enrollment token and print it.
    ///
    /// The token cannot be printed again.
    #[command(help_template = with_examples(create::EXAMPLES))]
    Create(create::CreateCommand),
    /// Replace the secret of an enrollment token and print the token.
    ///
    /// Takes effect immediately: the old secret is rejected. The token keeps its id, limits, count and
    /// status.
    #[command(help_template = with_examples("Example:\n  birthcert token regenerate tok_…"))]
    Regenerate(TokenSelector),
    /// Block enrollment with a token until it is resumed. Takes effect immediately.
    #[command(help_template = with_examples("Example:\n  birthcert token pause tok_…"))]
    Pause(TokenSelector),
    /// Allow enrollment with a paused token again.
    #[command(help_template = with_examples("Example:\n  birthcert token resume tok_…"))]
    Resume(TokenSelector),
    /// Change the label, expiry, device cap or address ranges of an enrollment token.
    ///
    /// Changes only what is given, in one write. Takes effect immediately.
    #[command(help_template = with_examples(update::EXAMPLES))]
    Update(update::UpdateCommand),
    /// Show an enrollment token, without its secret.
    #[command(help_template = with_examples("Example:\n  birthcert token show tok_…"))]
    Show(TokenSelector),
    /// List the devices that enrolled with a token, oldest first.
    ///
    /// To filter the devices further, use `device list` with the option --token.
    #[command(help_template = with_examples(DEVICES_EXAMPLES))]
    Devices(DevicesCommand),
    /// List a project's enrollment tokens, oldest first, without their secrets.
    #[command(help_template = with_examples(LIST_EXAMPLES))]
    List(ProjectOption),
}

const DEVICES_EXAMPLES: &str = "\
Examples:
  birthcert token devices tok_…
  birthcert token devices tok_… --output csv > devices.csv";

const LIST_EXAMPLES: &str = "\
Examples:
  birthcert token list
  birthcert token list --output csv > tokens.csv";

#[derive(clap::Args)]
pub(crate) struct DevicesCommand {
    #[command(flatten)]
    token: TokenSelector,
    #[command(flatten)]
    page: Page,
}

#[derive(Serialize)]
struct StatusChange {
    token_id: TokenId,
    status: TokenStatus,
}

impl fmt::Display for StatusChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.token_id, self.status)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Context { store, output, now, .. } = context;
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Regenerate(TokenSelector { project, token }) => {
                let rng = &mut UnwrapErr(SysRng);
                let token = EnrollmentToken::generate(project.project, token, rng);
                store.regenerate_token(&token, *now).await?;
                secret::print(context, &token)
            }
            Self::Pause(selector) => set_status(context, selector, TokenStatus::Paused).await,
            Self::Resume(selector) => set_status(context, selector, TokenStatus::Active).await,
            Self::Update(command) => command.run(context).await,
            Self::Show(selector) => output.print(&selector.view(context).await?),
            Self::Devices(DevicesCommand { token: TokenSelector { project, token }, page }) => {
                list_of_token(context, project.project, token, page).await
            }
            Self::List(ProjectOption { project }) => {
                // An empty list would hide a mistyped id.
                context.project(project).await?;
                let empty = "The project has no enrollment tokens. Create one with: \
                             birthcert token create";
                let mut rows = RowWriter::new(*output, empty);
                for token in store.tokens(project).await? {
                    rows.push(&TokenView::from(token))?;
                }
                rows.end()
            }
        }
    }
}

async fn set_status(
    context: &Context,
    TokenSelector { project, token }: TokenSelector,
    status: TokenStatus,
) -> anyhow::Result<()> {
    context.store.set_token_status(project.project, token, status).await?;
    context.output.print(&StatusChange { token_id: token, status })
}
