//! `--root-certificate` and `--root-sha256` of commands that install a trust anchor.

use std::path::PathBuf;

use pki::authority::RootFingerprint;

/// Heading of the options that decide which root is trusted.
pub(crate) const HEADING: &str = "Trust";

/// The roots that the operator accepts. [`PinnedRoots`](crate::pinned_roots::PinnedRoots) reads the variables.
#[derive(clap::Args, Default)]
pub(crate) struct RootOptions {
    /// PEM file with the only roots to accept, such as the ceremony's root.pem.
    ///
    /// [env: BIRTHCERT_ROOT_CERTIFICATE]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) root_certificate: Option<PathBuf>,
    /// SHA-256 fingerprint of the only root to accept, with or without colons. Separate several with
    /// commas. With --stack, the stack's parameter RootSha256 applies as well.
    ///
    /// [env: BIRTHCERT_ROOT_SHA256]
    #[arg(long, value_name = "HEX", value_delimiter = ',', value_parser = fingerprint)]
    #[arg(help_heading = HEADING)]
    pub(crate) root_sha256: Vec<RootFingerprint>,
}

/// The root of a CA that replaces a CA under another root.
#[derive(clap::Args)]
pub(crate) struct NewRootOption {
    /// SHA-256 fingerprint of the CA's root, if that is another root than the active CA's. Without it, a CA
    /// under another root is refused.
    #[arg(long, value_name = "HEX", value_parser = fingerprint, help_heading = HEADING)]
    pub(crate) accept_new_root: Option<RootFingerprint>,
}

/// Parses the fingerprint of a root.
pub(crate) fn fingerprint(text: &str) -> Result<RootFingerprint, &'static str> {
    text.trim().parse().map_err(|_| "expected a SHA-256 fingerprint: 64 hex digits")
}
