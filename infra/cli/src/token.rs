//! `birthcert token`: enrollment tokens.

use std::fmt;

use birthcert::{
    clock::Timestamp,
    id::{ProjectId, TokenId},
    label::Label,
    store::{EnrollmentTokenRecord, NewToken, TokenStatus},
    token::EnrollmentToken,
};
use getrandom::{SysRng, rand_core::UnwrapErr};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{Context, output::Table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make an enrollment token. This is the only time it is shown.
    Create(CreateCommand),
    /// Give a token a new secret. From then on the old one enrolls nobody.
    Regenerate(Named),
    /// Let a token enroll nobody until it is resumed.
    Pause(Named),
    /// Let a paused token enroll devices again.
    Resume(Named),
    /// List a project's tokens, oldest first, without their secrets.
    List(Of),
}

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
pub(crate) struct CreateCommand {
    #[command(flatten)]
    of: Of,
    /// For people: the batch of devices it is meant for.
    #[arg(long)]
    batch_label: Option<Label>,
    /// When it stops enrolling devices, as in 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// How many devices it may enroll.
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u64).range(1..))]
    device_cap: Option<u64>,
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
struct Row {
    token_id: TokenId,
    status: TokenStatus,
    uses: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_cap: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    regenerated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_label: Option<Label>,
}

impl From<EnrollmentTokenRecord> for Row {
    fn from(record: EnrollmentTokenRecord) -> Self {
        Self {
            token_id: record.token_id,
            status: record.status,
            uses: record.uses,
            device_cap: record.device_cap,
            expires_at: record.expires_at,
            created_at: record.created_at,
            regenerated_at: record.regenerated_at,
            batch_label: record.batch_label,
        }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Rows(Vec<Row>);

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |it: &Row| {
            let cap = it.device_cap.map_or_else(|| "no cap".into(), |cap| cap.to_string());
            [
                it.token_id.to_string(),
                it.status.to_string(),
                format!("{} of {cap}", it.uses),
                it.expires_at.map_or_else(|| "never".into(), |time| time.to_string()),
                it.created_at.to_string(),
                it.batch_label.as_ref().map(Label::to_string).unwrap_or_default(),
            ]
        };
        Table {
            header: ["TOKEN", "STATUS", "DEVICES", "EXPIRES", "CREATED", "BATCH"],
            rows: self.0.iter().map(row).collect(),
            none: "The project has no enrollment tokens. Make one with: birthcert token create",
        }
        .fmt(f)
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
        let rng = &mut UnwrapErr(SysRng);
        match self {
            Self::Create(command) => {
                let project = command.of.project;
                let token = EnrollmentToken::generate(project, TokenId::generate(rng), rng);
                let new = NewToken {
                    batch_label: command.batch_label,
                    expires_at: command.expires_at,
                    device_cap: command.device_cap,
                };
                store.create_token(&token, new, *now).await?;
                show(context, &token)
            }
            Self::Regenerate(Named { of, token }) => {
                let token = EnrollmentToken::generate(of.project, token, rng);
                store.regenerate_token(&token, *now).await?;
                show(context, &token)
            }
            Self::Pause(named) => set_status(context, named, TokenStatus::Paused).await,
            Self::Resume(named) => set_status(context, named, TokenStatus::Active).await,
            Self::List(of) => {
                context.expect_project(of.project).await?;
                let tokens = store.tokens(of.project).await?;
                output.print(&Rows(tokens.into_iter().map(Row::from).collect()))
            }
        }
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
