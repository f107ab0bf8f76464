//! `birthcert broker config aws-iot`: what it takes to register the device CA with AWS IoT Core.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::{Issuer, OperatorError, issue, kms::Signer, store::IssuanceRequest};
use pki::{
    authority::{Authority, AuthorityName},
    clock::Timestamp,
    key::KeyPair,
    profile::{RegistrationCode, Usage},
};

use super::config::{Generated, write};
use crate::Context;

/// 2049-12-31T23:59:59Z, after which nothing may expire that AWS IoT is to take.
const LAST: Timestamp = Timestamp::from_unix(2_524_607_999);

const SNI_ONLY: &str = "--certificate-mode SNI_ONLY ";

const EXAMPLES: &str = "\
Examples:
  birthcert broker config aws-iot --output-directory aws-iot

  # A CA that is prepared, before it is activated
  birthcert broker config aws-iot --output-directory aws-iot-2 --ca device-2";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AwsIotCommand {
    /// Directory for the files; nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    output_directory: PathBuf,
    /// Register the CA in DEFAULT mode, for one account alone and for devices that send no SNI, by
    /// this proof of possession: the output of `aws iot get-registration-code`. Wants the right to
    /// sign with the device CA's key.
    #[arg(long, value_name = "CODE")]
    registration_code: Option<RegistrationCode>,
    /// The CA for devices to register: one that is prepared, before it is activated. Unless given, the
    /// active one.
    #[arg(long, value_name = "NAME")]
    ca: Option<AuthorityName>,
}

impl AwsIotCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let record = match &self.ca {
            Some(name) => {
                ensure!(name.usage() == Usage::Device, "{name} is no CA for devices");
                let record = context.store.authority(name.as_str()).await?;
                record.ok_or_else(|| OperatorError::Missing(format!("CA named {name}")))?
            }
            None => context.store.active_authority(Usage::Device).await?.context(
                "the CA for devices is not set up: see birthcert ca subordinate --usage device",
            )?,
        };
        let authority = Authority::try_from(record)?;
        let certificate = authority.certificate();
        if certificate.not_after() > LAST {
            eprintln!(
                "Note: the device CA expires {}. AWS IoT refuses certificates that expire after {LAST}, \
                 as devices' do unless their project limits their validity.",
                certificate.not_after()
            );
        }
        let register = include_str!("../../../aws-iot/register");
        let mut files = vec![
            Generated::new("device-ca.pem", certificate.pem()),
            Generated::new("policy.json", include_str!("../../../aws-iot/policy.json")),
            Generated::new(
                "provisioning-template.json",
                include_str!("../../../aws-iot/provisioning-template.json"),
            ),
        ];
        let register = match &self.registration_code {
            None => register.to_owned(),
            Some(code) => {
                let register = in_default_mode(register)?;
                let proof = prove(context, &authority, code).await?;
                files.push(Generated::new("verification.pem", proof));
                register
            }
        };
        files.push(Generated { is_program: true, ..Generated::new("register", register) });
        write(&self.output_directory, files, context.output)
    }
}

fn in_default_mode(register: &str) -> anyhow::Result<String> {
    let (before, rest) = register.split_once("# SNI_ONLY").context("the template's comment")?;
    let (_, command) = rest.split_once("aws iot register-ca").context("the template's command")?;
    ensure!(command.contains(SNI_ONLY), "the template's mode");
    let command = command.replace(SNI_ONLY, "--verification-certificate file://verification.pem ");
    Ok(format!(
        "# DEFAULT mode: the CA belongs to this account alone, in this region. The verification\n\
         # certificate is valid for a day.\n\
         aws iot register-ca{command}"
    ))
    .map(|command| format!("{before}{command}"))
}

/// A certificate that holds the code, for a key that is dropped right here: AWS wants to see that the
/// CA signs it, and nobody is to connect with it.
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
    Ok(issue(issuer, IssuanceRequest::Registration(code), key, *now, rng).await?.pem()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_mode_shows_the_proof() {
        let script = in_default_mode(include_str!("../../../aws-iot/register")).unwrap();
        assert!(script.contains("file://verification.pem"), "{script}");
        assert!(!script.contains("SNI_ONLY"), "{script}");
        assert!(script.ends_with("templateName=birthcert-devices\n"), "{script}");
        assert_eq!(LAST.to_string(), "2049-12-31T23:59:59Z");
    }
}
