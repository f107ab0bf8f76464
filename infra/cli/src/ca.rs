//! `birthcert ca`: the root CA and the subordinate CAs.

mod activate;
mod ceremony;
mod certified_ca;
mod certify;
mod chain;
mod input;
mod list;
mod naming;
mod prepare;
mod request;
mod retire;
mod root;
mod root_crl;
mod subordinate;
mod url;
mod years;

use pki::clock::Timestamp;

use crate::{
    aws::table::hidden_options, context::Context, help::with_examples, output::format::Format,
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a root CA: a key and its self-signed certificate. Works offline.
    ///
    /// The key is in an encrypted file, or in a PKCS#11 token.
    #[command(help_template = with_examples(root::EXAMPLES), args = hidden_options())]
    Root(root::RootCommand),
    /// Create a root CA and certify subordinate CAs, as a reviewed file says. Works offline.
    ///
    /// To resume an interrupted ceremony, run it again with the same file. It checks what exists against
    /// the file, keeps it, and creates the rest. docs/guides/ceremony.md describes a ceremony.
    #[command(help_template = with_examples(ceremony::EXAMPLES), args = hidden_options())]
    Ceremony(ceremony::CeremonyCommand),
    /// Sign the root's CRL, which revokes subordinate CAs. Works offline.
    #[command(help_template = with_examples(root_crl::EXAMPLES), after_help = root_crl::NOTES)]
    #[command(args = hidden_options())]
    RootCrl(root_crl::RootCrlCommand),
    /// Set up a subordinate CA on one machine: request, certify and activate it.
    #[command(help_template = with_examples(subordinate::EXAMPLES))]
    Subordinate(subordinate::SubordinateCommand),
    /// Create the key of a subordinate CA in KMS and write its certificate signing request (CSR).
    #[command(help_template = with_examples(request::EXAMPLES))]
    Request(request::RequestCommand),
    /// Certify a subordinate CA with the root. Works offline.
    #[command(help_template = with_examples(certify::EXAMPLES), args = hidden_options())]
    Certify(certify::CertifyCommand),
    /// Record a certified subordinate CA, the successor of the active one, without activating it.
    #[command(help_template = with_examples(prepare::EXAMPLES), after_help = prepare::NOTES)]
    Prepare(prepare::PrepareCommand),
    /// Activate a CA: it issues from then on, and the CA that it replaces is retired.
    #[command(help_template = with_examples(activate::EXAMPLES), after_help = activate::NOTES)]
    Activate(activate::ActivateCommand),
    /// Retire a prepared CA that is not to be activated.
    #[command(help_template = with_examples(retire::EXAMPLES), after_help = retire::NOTES)]
    Retire(retire::RetireCommand),
    /// List the CAs of all generations.
    #[command(help_template = with_examples("Example:\n  birthcert ca list"))]
    List,
    /// Show a CA: its status, key and certificate.
    #[command(help_template = with_examples("Example:\n  birthcert ca show device-2"))]
    Show(list::ShowCommand),
}

impl Command {
    /// Runs a command that needs no network; returns any other command.
    pub(crate) fn run_offline(
        self,
        output: Format,
        now: Timestamp,
    ) -> anyhow::Result<Option<Self>> {
        match self {
            Self::Root(command) => command.run(output, now)?,
            Self::Ceremony(command) => command.run(output, now)?,
            Self::Certify(command) => command.run(output, now)?,
            Self::RootCrl(command) => command.run(output, now)?,
            rest => return Ok(Some(rest)),
        }
        Ok(None)
    }

    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Request(command) => command.run(context).await,
            Self::Prepare(command) => command.run(context).await,
            Self::Activate(command) => command.run(context).await,
            Self::Retire(command) => command.run(context).await,
            Self::List => list::list(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Subordinate(command) => command.run(context).await,
            offline => offline.run_offline(context.output, context.now).map(drop),
        }
    }
}
