//! `birthcert ca`: the root and the subordinates.

mod activate;
mod candidate;
mod ceremony;
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
mod years;

use pki::clock::Timestamp;

use crate::{Context, output::Format, place};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a root CA: a key, in an encrypted file or a PKCS#11 token, and a certificate. Needs no network and no AWS.
    #[command(after_help = root::EXAMPLES, args = place::hidden())]
    Root(root::RootCommand),
    /// Hold a whole ceremony, root and subordinates, as a reviewed file has it. Needs no network and
    /// no AWS.
    #[command(args = place::hidden())]
    Ceremony(ceremony::CeremonyCommand),
    /// Sign the root's CRL, with the subordinates that it revoked. Needs no network and no AWS.
    #[command(after_help = root_crl::EXAMPLES, args = place::hidden())]
    RootCrl(root_crl::RootCrlCommand),
    /// Set up a subordinate CA in one go: request, certify and activate on this machine.
    #[command(after_help = subordinate::EXAMPLES)]
    Subordinate(subordinate::SubordinateCommand),
    /// Make a subordinate's key in KMS and write its certificate request.
    #[command(after_help = request::EXAMPLES)]
    Request(request::RequestCommand),
    /// Certify a subordinate's request with the root. Needs no network and no AWS.
    #[command(after_help = certify::EXAMPLES, args = place::hidden())]
    Certify(certify::CertifyCommand),
    /// Record a certified subordinate that does not issue yet: the successor of the one that does.
    #[command(after_help = prepare::EXAMPLES)]
    Prepare(prepare::PrepareCommand),
    /// Have a CA issue: the first of its usage, or one in the place of another.
    #[command(after_help = activate::EXAMPLES)]
    Activate(activate::ActivateCommand),
    /// Give up a CA that was prepared.
    #[command(after_help = retire::EXAMPLES)]
    Retire(retire::RetireCommand),
    /// List the CAs, every generation.
    #[command(after_help = "Example:\n  birthcert ca list")]
    List,
    /// Show one CA: its status, its key and its certificate.
    #[command(after_help = "Example:\n  birthcert ca show device-2")]
    Show(list::ShowCommand),
}

impl Command {
    /// Carries out what happens on a machine without network; gives back what does not.
    pub(crate) fn without_aws(
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
            offline => offline.without_aws(context.output, context.now).map(drop),
        }
    }
}

/// RFC 5280, section 4.2.1.13, wants a URI, in an IA5String. It stays in certificates for decades, so
/// that a mistake should not get there.
fn http_url(text: &str) -> Result<String, &'static str> {
    let is_url = text.bytes().all(|byte| byte.is_ascii_graphic())
        && (text.starts_with("http://") || text.starts_with("https://"));
    is_url.then(|| text.to_owned()).ok_or("it should be a URL with http:// or https://")
}

/// What should be known of a CRL's URL (RFC 5280, section 8).
fn https_remark(url: Option<&str>) -> Option<String> {
    let url = url.filter(|url| url.starts_with("https:"))?;
    Some(format!(
        "{url} should be http: a CRL is signed, many verifiers fetch it by plain http alone, and one that \
         checks its server's certificate would need a CRL first"
    ))
}
