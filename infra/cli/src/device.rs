//! `birthcert device`.

mod bulk;
mod delete;
mod enable;
mod find;
mod label;
mod limit;
pub(crate) mod list;
mod revoke;
mod selection;
pub(crate) mod serial;
mod show;
mod targets;

use crate::{context::Context, help::with_examples};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List a project's devices, oldest first.
    #[command(help_template = with_examples(list::EXAMPLES), after_help = list::NOTES)]
    List(list::ListCommand),
    /// Show a device: its status, its enrollment token and its certificates.
    ///
    /// For a deleted device, shows its certificates.
    #[command(help_template = with_examples("Example:\n  birthcert device show dev_…"))]
    Show(show::ShowCommand),
    /// Find devices by id, certificate serial number or part of a label.
    #[command(help_template = with_examples(find::EXAMPLES))]
    Find(find::FindCommand),
    /// Set or remove a device's label.
    #[command(help_template = with_examples(label::EXAMPLES))]
    Label(label::LabelCommand),
    /// Block a device from obtaining identities until it is enabled.
    ///
    /// Takes effect immediately. The device's certificates stay valid, so it can still connect to brokers:
    /// to prevent that, revoke the device or put it on hold.
    #[command(help_template = with_examples("Example:\n  birthcert device disable dev_…"))]
    Disable(enable::DeviceArgument),
    /// Allow a disabled device to obtain identities again.
    #[command(help_template = with_examples("Example:\n  birthcert device enable dev_…"))]
    Enable(enable::DeviceArgument),
    /// Allow a device more certificates than its project's policy does.
    ///
    /// Takes effect immediately.
    #[command(help_template = with_examples(limit::EXAMPLES))]
    LiftLimit(limit::LiftCommand),
    /// Revoke devices or put them on hold, or one certificate of a device.
    ///
    /// A revoked device's token is rejected as soon as this command returns. All its certificates are
    /// revoked, including superseded ones in their grace period. Repeating the command changes nothing, so
    /// rerun it after an interruption.
    ///
    /// For one device, asks for confirmation on a terminal. For several devices, prints a preview unless
    /// --yes is given.
    #[command(help_template = with_examples(revoke::EXAMPLES), after_help = revoke::NOTES)]
    Revoke(revoke::RevokeCommand),
    /// Release devices and certificates from a hold (reason certificateHold).
    ///
    /// Other revocations are permanent.
    #[command(visible_alias = "unrevoke")]
    #[command(help_template = with_examples(revoke::RELEASE_EXAMPLES))]
    #[command(after_help = revoke::RELEASE_NOTES)]
    ReleaseHold(revoke::ReleaseCommand),
    /// Revoke a device and delete it. Its certificates stay on the ledger.
    #[command(help_template = with_examples(delete::EXAMPLES))]
    Delete(delete::DeleteCommand),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Find(command) => command.run(context).await,
            Self::Label(command) => command.run(context).await,
            Self::Disable(device) => device.set_enabled(context, false).await,
            Self::Enable(device) => device.set_enabled(context, true).await,
            Self::LiftLimit(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
            Self::ReleaseHold(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
        }
    }
}
