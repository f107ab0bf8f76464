//! `birthcert token`: enrollment tokens.

mod create;
mod update;
mod view;

use std::fmt;

use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::store::TokenStatus;
use pki::{
    names::{ProjectId, TokenId},
    token::EnrollmentToken,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{Context, device, exit::Stop, listing::Listing};
use view::TokenView;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make an enrollment token. This is the only time it is shown.
    #[command(after_help = create::EXAMPLES)]
    Create(create::CreateCommand),
    /// Give a token a new secret. From then on the old one enrolls nobody.
    ///
    /// The token keeps its id, its limits and its count, and stays paused if it was.
    #[command(after_help = "Example:\n  birthcert token regenerate tok_…")]
    Regenerate(Named),
    /// Let a token enroll nobody until it is resumed. It acts at once.
    #[command(after_help = "Example:\n  birthcert token pause tok_…")]
    Pause(Named),
    /// Let a paused token enroll devices again.
    #[command(after_help = "Example:\n  birthcert token resume tok_…")]
    Resume(Named),
    /// Change a token's label, expiry, cap or address ranges. Only what is given changes, all of it
    /// in one write, and it acts at once.
    #[command(after_help = update::EXAMPLES)]
    Update(update::UpdateCommand),
    /// Show a token, without its secret.
    #[command(after_help = "Example:\n  birthcert token show tok_…")]
    Show(Named),
    /// List the devices that came in on a token, oldest first.
    ///
    /// The same as `birthcert device list --token TOKEN`, which has more ways to choose.
    #[command(after_help = DEVICES_EXAMPLES)]
    Devices(DevicesCommand),
    /// List a project's tokens, oldest first, without their secrets.
    #[command(after_help = LIST_EXAMPLES)]
    List(Of),
}

const DEVICES_EXAMPLES: &str = "\
Examples:
  birthcert token devices tok_…
  birthcert token devices tok_… --output csv > came-in.csv";

const LIST_EXAMPLES: &str = "\
Examples:
  birthcert token list
  birthcert token list --output csv > tokens.csv";

#[derive(clap::Args)]
pub(crate) struct Of {
    /// The project.
    #[arg(long, env = "BIRTHCERT_PROJECT")]
    project: ProjectId,
}

#[derive(clap::Args)]
pub(crate) struct Named {
    #[command(flatten)]
    of: Of,
    /// The token's id, tok_…
    token: TokenId,
}

#[derive(clap::Args)]
pub(crate) struct DevicesCommand {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    page: device::Page,
}

/// A token with its secret, for the operator's eyes.
#[derive(Serialize)]
struct Shown {
    token_id: TokenId,
    enrollment_token: Zeroizing<String>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.token_id, *self.enrollment_token)
    }
}

#[derive(Serialize)]
struct Changed {
    token_id: TokenId,
    status: TokenStatus,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.token_id, self.status)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Context { store, output, now, .. } = context;
        if !matches!(self, Self::List(_) | Self::Devices(_)) {
            output.expect_document()?;
        }
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Regenerate(Named { of, token }) => {
                let rng = &mut UnwrapErr(SysRng);
                let token = EnrollmentToken::generate(of.project, token, rng);
                store.regenerate_token(&token, *now).await?;
                show(context, &token)
            }
            Self::Pause(named) => set_status(context, named, TokenStatus::Paused).await,
            Self::Resume(named) => set_status(context, named, TokenStatus::Active).await,
            Self::Update(command) => command.run(context).await,
            Self::Show(named) => output.print(&named.record(context).await?),
            Self::Devices(DevicesCommand { named: Named { of, token }, page }) => {
                device::list_of_token(context, of.project, token, page).await
            }
            Self::List(of) => {
                context.expect_project(of.project).await?;
                let none = "The project has no enrollment tokens. Make one with: \
                            birthcert token create";
                let mut listing = Listing::new(*output, none);
                for token in store.tokens(of.project).await? {
                    listing.push(&TokenView::from(token))?;
                }
                listing.end()
            }
        }
    }
}

impl Named {
    async fn record(&self, context: &Context) -> anyhow::Result<TokenView> {
        let (project, token) = (self.of.project, self.token);
        let record = context.store.token(project, token).await?;
        let missing = || Stop::Missing(format!("token {token} in project {project}"));
        Ok(TokenView::from(record.ok_or_else(missing)?))
    }
}

async fn set_status(context: &Context, named: Named, status: TokenStatus) -> anyhow::Result<()> {
    context.store.set_token_status(named.of.project, named.token, status).await?;
    context.output.print(&Changed { token_id: named.token, status })
}

fn show(context: &Context, token: &EnrollmentToken) -> anyhow::Result<()> {
    let enrollment_token = token.expose();
    context.output.print(&Shown { token_id: token.subject(), enrollment_token })
}
