//! `birthcert ca`: the root and the subordinates.

mod activate;
mod certify;
mod naming;
mod request;
mod root;
mod subordinate;

use crate::Context;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a root CA: an encrypted key file and a certificate. Needs no network and no AWS.
    Root(root::RootCommand),
    /// Set up a subordinate CA in one go: request, certify and activate on this machine.
    Subordinate(subordinate::SubordinateCommand),
    /// Make a subordinate's key in KMS and write its certificate request.
    Request(request::RequestCommand),
    /// Certify a subordinate's request with the root. Needs no network and no AWS.
    Certify(certify::CertifyCommand),
    /// Put a certified subordinate to use.
    Activate(activate::ActivateCommand),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Root(command) => command.run(context.output, context.now),
            Self::Certify(command) => command.run(context.output, context.now),
            Self::Request(command) => command.run(context).await,
            Self::Activate(command) => command.run(context).await,
            Self::Subordinate(command) => command.run(context).await,
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
