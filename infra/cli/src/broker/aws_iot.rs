//! `birthcert broker config aws-iot`: files that register the device CA with AWS IoT Core.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::{Issuer, issue, kms::Signer, store::IssuanceRequest};
use pki::{
    authority::{Authority, AuthorityName},
    clock::Timestamp,
    key::KeyPair,
    profile::{RegistrationCode, Usage},
};

use super::{
    deadline,
    template::{GeneratedFile, write},
};
use crate::{
    context::Context, error::CommandError, help::with_examples, options::root::RootOptions,
    pinned_roots::root_of,
};

/// 2049-12-31T23:59:59Z: AWS IoT rejects certificates that expire later.
const LAST_EXPIRY: Timestamp = Timestamp::from_unix(2_524_607_999);

const SNI_ONLY: &str = "--certificate-mode SNI_ONLY ";

const EXAMPLES: &str = "\
Examples:
  birthcert broker config aws-iot --output-directory aws-iot

  # For a prepared CA, before it is activated
  birthcert broker config aws-iot --output-directory aws-iot-2 --ca device-2";

#[derive(clap::Args)]
#[command(help_template = with_examples(EXAMPLES))]
pub(crate) struct AwsIotCommand {
    /// Directory to write the files to. Existing files are never overwritten.
    #[arg(long, value_name = "DIR")]
    output_directory: PathBuf,
    /// Register the CA in DEFAULT mode, with a proof of possession for this registration code (from
    /// `aws iot get-registration-code`). In this mode the CA belongs to one account, and devices need
    /// not send SNI. Requires permission to sign with the device CA's key.
    #[arg(long, value_name = "CODE")]
    registration_code: Option<RegistrationCode>,
    /// Device CA to register, such as a prepared CA before it is activated. The default is the active
    /// CA.
    #[arg(long, value_name = "NAME")]
    ca: Option<AuthorityName>,
    #[command(flatten)]
    root: RootOptions,
}

impl AwsIotCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let record = match &self.ca {
            Some(name) => {
                ensure!(name.usage() == Usage::Device, "{name} is not a CA for devices");
                let record = context.store.authority(name.as_str()).await?;
                record.ok_or_else(|| CommandError::Missing(format!("CA named {name}")))?
            }
            None => context.store.active_authority(Usage::Device).await?.context(
                "the CA for devices is not set up: run birthcert ca subordinate --usage device",
            )?,
        };
        let authority = Authority::try_from(record)?;
        // AWS IoT trusts the registered CA itself.
        let pinned = context.pinned_roots(&self.root)?;
        pinned.check(authority.name(), root_of(&authority)?)?;
        let certificate = authority.certificate();
        if certificate.not_after() > LAST_EXPIRY {
            eprintln!(
                "Note: the device CA expires at {}. AWS IoT rejects certificates that expire after \
                 {LAST_EXPIRY}: limit the validity of device certificates with birthcert project update \
                 --not-after-cap.",
                certificate.not_after()
            );
        }
        let register = include_str!("../../../brokers/aws-iot/register");
        let mut files = vec![
            GeneratedFile::new("device-ca.pem", certificate.pem()),
            GeneratedFile::new("policy.json", include_str!("../../../brokers/aws-iot/policy.json")),
            GeneratedFile::new(
                "provisioning-template.json",
                include_str!("../../../brokers/aws-iot/provisioning-template.json"),
            ),
        ];
        let register = match &self.registration_code {
            None => register.to_owned(),
            Some(code) => {
                let register = in_default_mode(register)?;
                let proof = prove(context, &authority, code).await?;
                files.push(GeneratedFile::new("verification.pem", proof));
                register
            }
        };
        files.push(GeneratedFile { is_program: true, ..GeneratedFile::new("register", register) });
        pinned.note_if_unpinned(&authority, "device-ca.pem")?;
        write(&self.output_directory, files, context.output)
    }
}

fn in_default_mode(register: &str) -> anyhow::Result<String> {
    let split = register.split_once("# SNI_ONLY");
    let (before, rest) = split.context("the template has no comment on SNI_ONLY")?;
    let split = rest.split_once("aws iot register-ca");
    let (_, command) = split.context("the template does not run aws iot register-ca")?;
    ensure!(command.contains(SNI_ONLY), "the template does not set SNI_ONLY");
    let command = command.replace(SNI_ONLY, "--verification-certificate file://verification.pem ");
    Ok(format!(
        "# DEFAULT mode: the CA belongs to this account only, in this region. The verification\n\
         # certificate is valid for one day.\n\
         aws iot register-ca{command}"
    ))
    .map(|command| format!("{before}{command}"))
}

/// Issues a certificate with the registration code, for a key that is discarded: AWS verifies that the CA
/// signs it, and nobody connects with it.
async fn prove(
    context: &Context,
    authority: &Authority,
    code: &RegistrationCode,
) -> anyhow::Result<String> {
    let Context { store, kms, now, .. } = context;
    let rng = &mut UnwrapErr(SysRng);
    let signer = Signer::new(kms.clone(), authority.key_arn());
    let key = KeyPair::generate(rng).public_key()?;
    let issuer = Issuer { authority, signer: &signer, store };
    let request = IssuanceRequest::Registration(code);
    Ok(issue(issuer, request, key, *now, deadline::of_issuance(), rng).await?.pem()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_mode_shows_the_proof() {
        let script = in_default_mode(include_str!("../../../brokers/aws-iot/register")).unwrap();
        assert!(script.contains("file://verification.pem"), "{script}");
        assert!(!script.contains("SNI_ONLY"), "{script}");
        assert!(script.ends_with("templateName=birthcert-devices\n"), "{script}");
        assert_eq!(LAST_EXPIRY.to_string(), "2049-12-31T23:59:59Z");
    }
}
