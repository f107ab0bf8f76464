//! `birthcert device`.

mod bulk;
mod delete;
mod find;
mod list;
mod revoke;
mod selection;
mod show;
mod targets;
mod upkeep;

pub(crate) use {
    list::{Page, list_of_token},
    revoke::parse_serial,
};

use crate::Context;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List a project's devices, oldest first, all of them or those that are asked for.
    #[command(after_help = list::EXAMPLES)]
    List(list::ListCommand),
    /// Show a device: how it stands, the token it came in on, and every certificate it was issued.
    ///
    /// Of a device that was deleted the certificates are still there.
    #[command(after_help = "Example:\n  birthcert device show dev_…")]
    Show(show::ShowCommand),
    /// Find a device by its id, by a certificate's serial number, or by a part of its label.
    #[command(after_help = find::EXAMPLES)]
    Find(find::FindCommand),
    /// Label a device, or take its label away.
    #[command(after_help = upkeep::LABEL_EXAMPLES)]
    Label(upkeep::LabelCommand),
    /// Let a device get no identity until it is enabled. It acts at once.
    ///
    /// Its certificates stay good, so that it still gets to the brokers: what is to be cut off there is
    /// revoked, or put on hold.
    #[command(after_help = "Example:\n  birthcert device disable dev_…")]
    Disable(upkeep::One),
    /// Let a disabled device get identities again.
    #[command(after_help = "Example:\n  birthcert device enable dev_…")]
    Enable(upkeep::One),
    /// Let a device be issued more certificates than its project's policy says. It acts at once.
    #[command(after_help = upkeep::LIFT_EXAMPLES)]
    LiftLimit(upkeep::LiftCommand),
    /// Revoke devices, or one certificate of a device, or put them on hold.
    ///
    /// A revoked device's token counts for nothing from the moment this returns, and every certificate
    /// that it has is revoked on the ledger, those in their grace period included. Doing it again
    /// changes nothing, so that what was interrupted is just run again.
    ///
    /// One device is asked about, on a terminal. Many are only shown, unless --yes is given.
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::RevokeCommand),
    /// Take a hold back: devices and certificates that were revoked for certificateHold, and only they.
    #[command(visible_alias = "unrevoke", after_help = revoke::RELEASE_EXAMPLES)]
    ReleaseHold(revoke::ReleaseCommand),
    /// Revoke a device and remove it. What it was issued stays on the ledger.
    #[command(after_help = delete::EXAMPLES)]
    Delete(delete::DeleteCommand),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        if !matches!(self, Self::List(_) | Self::Find(_)) {
            context.output.expect_document()?;
        }
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Find(command) => command.run(context).await,
            Self::Label(command) => command.run(context).await,
            Self::Disable(one) => one.set_enabled(context, false).await,
            Self::Enable(one) => one.set_enabled(context, true).await,
            Self::LiftLimit(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
            Self::ReleaseHold(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
        }
    }
}
