//! The roots that an operator pinned. A trust anchor changes only by a person's hand: whoever can write the
//! table, but has no key, must not be able to replace the root that brokers trust.

use std::{env, path::Path};

use anyhow::{Context as _, anyhow, ensure};
use pki::authority::{Authority, AuthorityName, ChainCertificate, RootFingerprint, Roots, chain};

use crate::{
    error::{CommandError, usage},
    files::read,
    options::root::RootOptions,
};

const CERTIFICATE: &str = "BIRTHCERT_ROOT_CERTIFICATE";
const SHA256: &str = "BIRTHCERT_ROOT_SHA256";

/// Follows an error that names an unexpected root and the expected ones.
pub(crate) const UNEXPECTED: &str = "nothing was changed. If nobody replaced the root, somebody may have changed the table: compare both \
     fingerprints with the transcript of the ceremony";

/// Pins from the command line, the environment and the stack. A root must satisfy all of them.
#[derive(Debug)]
pub(crate) struct PinnedRoots(Vec<Pin>);

/// The roots that one source allows.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    /// Name of the source, for error messages.
    pub(crate) source: String,
    /// Empty if the source allows every root.
    pub(crate) roots: Roots,
}

impl PinnedRoots {
    /// Returns the pins of the options, or else of the environment, and the stack's.
    ///
    /// # Errors
    /// If a variable is not valid, or a file with roots cannot be read.
    pub(crate) fn read(options: &RootOptions, stack: Option<&Pin>) -> anyhow::Result<Self> {
        let variable = |name: &str| env::var_os(name).map(|it| it.to_string_lossy().into_owned());
        Self::read_with(options, stack, variable)
    }

    fn read_with(
        options: &RootOptions,
        stack: Option<&Pin>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let variable = |name| variable(name).filter(|it| !it.is_empty());
        let mut pins: Vec<Pin> = stack.cloned().into_iter().collect();
        if let Some(file) = &options.root_certificate {
            pins.push(Pin { source: "--root-certificate".into(), roots: roots_in(file)? });
        }
        if !options.root_sha256.is_empty() {
            let roots = options.root_sha256.iter().copied().collect();
            pins.push(Pin { source: "--root-sha256".into(), roots });
        }
        if options.root_certificate.is_some() || !options.root_sha256.is_empty() {
            return Ok(Self(pins));
        }
        if let Some(file) = variable(CERTIFICATE) {
            let roots = roots_in(Path::new(&file)).context(CERTIFICATE)?;
            pins.push(Pin { source: CERTIFICATE.into(), roots });
        }
        if let Some(text) = variable(SHA256) {
            let roots = fingerprints(&text).map_err(|error| usage(format!("{SHA256} {error}")))?;
            pins.push(Pin { source: SHA256.into(), roots });
        }
        Ok(Self(pins))
    }

    /// Returns true if nothing is pinned.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|pin| pin.roots.is_empty())
    }

    /// Checks that every pin allows `root`, the root of the CA `name`.
    ///
    /// # Errors
    /// If one does not.
    pub(crate) fn check(
        &self,
        name: &AuthorityName,
        root: &ChainCertificate,
    ) -> anyhow::Result<()> {
        let Some(Pin { source, roots }) = self.0.iter().find(|pin| !pin.roots.admits(root)) else {
            return Ok(());
        };
        let found = RootFingerprint::of(root.der());
        Err(CommandError::Refused(format!(
            "the CA {name} is under the root {found}, but {source} allows only {roots}; {UNEXPECTED}. If the \
             new root is yours, add it to {source}"
        ))
        .into())
    }

    /// Tells the operator which root `file` trusts and how to pin it, if nothing is pinned.
    ///
    /// # Errors
    /// If the CA has no root.
    pub(crate) fn note_if_unpinned(&self, authority: &Authority, file: &str) -> anyhow::Result<()> {
        if self.is_empty() {
            let root = root_of(authority)?;
            eprintln!(
                "Note: no root is pinned, so {file} depends on what the table says: the root is {}, SHA-256 {}. \
                 Compare this fingerprint with the transcript of the ceremony, then set {SHA256} to it: from then on, \
                 any other root is refused.",
                root.subject(),
                RootFingerprint::of(root.der())
            );
        }
        Ok(())
    }
}

/// Returns the root of a CA.
///
/// # Errors
/// If it has none, which its type excludes.
pub(crate) fn root_of(authority: &Authority) -> anyhow::Result<&ChainCertificate> {
    authority.above().last().with_context(|| format!("the CA {} has no root", authority.name()))
}

/// Reads the roots in a PEM file. Unlike a list of fingerprints, it cannot be `none`.
fn roots_in(path: &Path) -> anyhow::Result<Roots> {
    let name = path.display();
    let text = read(path)?;
    let mut found = Vec::new();
    for root in chain::read_bundle(&text) {
        let root = root.map_err(|fault| anyhow!("{name}: {fault}"))?;
        // Otherwise somebody who pins a subordinate by mistake would be told that the root changed.
        ensure!(
            root.is_issued_by(&root),
            "{name} contains a certificate that is not a root certificate: {}",
            root.subject()
        );
        found.push(RootFingerprint::of(root.der()));
    }
    ensure!(!found.is_empty(), "{name} contains no certificate");
    Ok(found.into_iter().collect())
}

/// Parses fingerprints. Nobody sets a variable to pin nothing, so `none` is an error.
fn fingerprints(text: &str) -> Result<Roots, pki::authority::InvalidFingerprint> {
    text.split(',').map(|one| one.trim().parse::<RootFingerprint>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const TWO: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn sources(pinned: &PinnedRoots) -> Vec<(&str, String)> {
        pinned.0.iter().map(|pin| (pin.source.as_str(), pin.roots.to_string())).collect()
    }

    #[test]
    fn options_win_over_variables_but_not_over_the_stack() {
        let stack = Pin { source: "stack".into(), roots: TWO.parse().unwrap() };
        let given =
            RootOptions { root_sha256: vec![ONE.parse().unwrap()], ..RootOptions::default() };
        let variable = |name: &str| (name == SHA256).then(|| format!("{ONE}, {TWO}"));
        let read = |options, stack| PinnedRoots::read_with(options, stack, variable).unwrap();

        let both = read(&given, Some(&stack));
        assert_eq!(sources(&both), [("stack", TWO.into()), ("--root-sha256", ONE.into())]);
        let both = read(&RootOptions::default(), None);
        assert_eq!(sources(&both), [(SHA256, format!("{ONE},{TWO}"))]);
        assert!(!both.is_empty());
    }

    #[test]
    fn nothing_is_pinned_by_an_empty_variable_or_a_stack_without_a_root() {
        let stack = Pin { source: "stack".into(), roots: Roots::default() };
        let empty = |_: &str| Some(String::new());
        let pinned = PinnedRoots::read_with(&RootOptions::default(), Some(&stack), empty).unwrap();
        assert!(pinned.is_empty());
    }

    #[test]
    fn other_variables_are_errors() {
        let refused = |name: &'static str, text: &'static str, word: &str| {
            let variable = |it: &str| (it == name).then(|| text.to_owned());
            let error =
                PinnedRoots::read_with(&RootOptions::default(), None, variable).unwrap_err();
            assert!(format!("{error:#}").contains(word), "{error:#}");
        };
        refused(SHA256, "none", "BIRTHCERT_ROOT_SHA256 is not");
        refused(SHA256, "aa", "BIRTHCERT_ROOT_SHA256 is not");
        refused(CERTIFICATE, "/nonexistent", "BIRTHCERT_ROOT_CERTIFICATE: cannot read");
        refused(CERTIFICATE, "/dev/null", "contains no certificate");
    }
}
