//! The command line.

use clap::{Parser, Subcommand};

use crate::{
    aws::table::hidden_options, broker, ca, crl, device, help::with_examples,
    options::global::GlobalOptions, project, token,
};

/// Operate birthcert, a certificate authority for devices.
#[derive(Parser)]
#[command(name = "birthcert", version, propagate_version = true, max_term_width = 100)]
// `GlobalOptions` has both, under its own heading.
#[command(disable_help_flag = true, disable_version_flag = true)]
#[command(help_template = with_examples(NOTES))]
pub struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Manage the root CA and the subordinate CAs.
    #[command(subcommand)]
    Ca(ca::Command),
    /// Manage projects: fleets of devices with a certificate policy.
    #[command(subcommand)]
    Project(project::Command),
    /// Manage enrollment tokens, with which devices join a project.
    #[command(subcommand)]
    Token(token::Command),
    /// Manage devices.
    #[command(subcommand)]
    Device(device::Command),
    /// Show and publish certificate revocation lists (CRLs).
    #[command(subcommand)]
    Crl(crl::Command),
    /// Manage certificates, users and configurations of brokers and related services.
    #[command(subcommand)]
    Broker(broker::Command),
    /// Print a shell completion script.
    #[command(help_template = with_examples(COMPLETIONS), args = hidden_options())]
    Completions {
        /// Shell to print the script for.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Returns true if the result is one document, which CSV cannot express.
    pub(crate) fn prints_document(&self) -> bool {
        !matches!(
            self,
            Self::Device(device::Command::List(_) | device::Command::Find(_))
                | Self::Token(token::Command::List(_) | token::Command::Devices(_))
                | Self::Completions { .. }
        )
    }

    /// Returns true unless the command only reads. What changes something also records this machine's time.
    pub(crate) fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Ca(ca::Command::List | ca::Command::Show(_) | ca::Command::Request(_))
                | Self::Project(project::Command::List | project::Command::Show(_))
                | Self::Token(
                    token::Command::List(_) | token::Command::Show(_) | token::Command::Devices(_)
                )
                | Self::Device(
                    device::Command::List(_) | device::Command::Show(_) | device::Command::Find(_)
                )
                | Self::Crl(crl::Command::Status(_))
                | Self::Broker(broker::Command::List | broker::Command::Users(_))
        )
    }
}

// At most 60 columns: clap does not wrap it.
const NOTES: &str = "\
Output formats:
  text   for people
  json   one JSON document
  jsonl  JSON Lines: one document per line; lists print one
         item per line
  csv    for spreadsheets; device list, device find, token
         list and token devices only. An apostrophe precedes
         cells that a spreadsheet would take for formulas

Exit codes:
  0  success, including when nothing needed changing
  1  failure: the message says why, and whether to retry
  2  invalid command line; nothing was attempted
  3  something that the command names does not exist
  4  refused, nothing was changed: it already exists, its
     status, a pinned root or a wrong clock forbids the
     change, or it was not confirmed
  5  partly done: rerun the same command for the rest

AWS region, credentials and endpoints come from the
environment and from ~/.aws, as for the AWS CLI. For a stack
on this machine:
  eval \"$(birthcert-local env --data DIR)\"";

const COMPLETIONS: &str = "\
Examples:
  source <(birthcert completions bash)      # in ~/.bashrc
  birthcert completions zsh > ~/.zfunc/_birthcert
  birthcert completions fish > ~/.config/fish/completions/birthcert.fish";
