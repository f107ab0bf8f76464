//! `birthcert ca ceremony`: creates a root and certifies subordinates as one reviewed input says. Results of
//! an interrupted ceremony are checked against the input and kept; the ceremony creates the rest.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use der::{Decode, referenced::OwnedToRef};
use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    profile::{self, IssuedBy},
};
use serde::Serialize;
use x509_cert::{Certificate, ext::pkix::ExtendedKeyUsage};

use super::{
    certify::{CertifyTask, Terms},
    input::Tasks,
    root::RootTask,
};
use crate::{
    ceremony::{clock, consent::Consent, plan::Plan, transcript::Transcript},
    files::{expect_new, read},
    options::secret::HEADING,
    output::format::Format,
    root::{
        ca::{Root, distinguished},
        location::Secrets,
    },
};

pub(super) const EXAMPLES: &str = concat!(
    "\
Examples:
  # Dry run, then apply
  birthcert ca ceremony --input ceremony.yaml
  birthcert ca ceremony --input ceremony.yaml --yes

Example of an input:\n\n",
    include_str!("../../../deploy/ceremony.yaml"),
);

#[derive(clap::Args)]
pub(crate) struct CeremonyCommand {
    /// Reviewed YAML file that describes the root and the subordinate CAs.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Use the existing key in the PKCS#11 token: after an interruption, or for a key that the token's
    /// own tools generated.
    #[arg(long, help_heading = HEADING)]
    existing_key: bool,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Outcome {
    root: PathBuf,
    certificates: Vec<PathBuf>,
    /// None if nothing was left to do.
    transcript: Option<PathBuf>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root certificate:        {}", self.root.display())?;
        for certificate in &self.certificates {
            write!(f, "\nSubordinate certificate: {}", certificate.display())?;
        }
        match &self.transcript {
            Some(path) => write!(f, "\nTranscript:              {}", path.display()),
            None => f.write_str("\nNothing to do: everything exists."),
        }
    }
}

impl CeremonyCommand {
    pub(crate) fn run(self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let tasks = Tasks::read(&self.input, self.existing_key)?;
        let root = existing_root(&tasks.root)?;
        let left = match &root {
            Some(root) => uncertified(root, &tasks.subordinates)?,
            None => {
                for task in &tasks.subordinates {
                    expect_new(&task.certificate)?;
                }
                tasks.subordinates.iter().collect()
            }
        };
        let plan = plan(&tasks.root, root.as_ref(), &left, now)?;
        let outcome = |transcript| Outcome {
            root: tasks.root.certificate(),
            certificates: tasks.subordinates.iter().map(|it| it.certificate.clone()).collect(),
            transcript,
        };
        if root.is_some() && left.is_empty() {
            return output.print(&outcome(None));
        }
        let inputs = left.iter().map(|task| task.csr_path.as_path()).chain([self.input.as_path()]);
        let remarks = clock::remarks(now, inputs, root.as_deref());
        if !self.consent.given_or_print(output, plan.remarks(remarks.clone()))? {
            return Ok(());
        }
        clock::warn(&remarks);

        let directory = &tasks.root.directory;
        let mut transcript = Transcript::begin("ca ceremony", directory)?;
        transcript.input(&self.input, &tasks.text);
        transcript.attended_by(&tasks.present);
        let ((), transcript) = transcript.record(|transcript| {
            let root = match root {
                Some(_) => {
                    let root = Root::open(directory, tasks.root.key_location.open(&self.secrets)?)?;
                    let certificate = tasks.root.certificate();
                    transcript.input(&certificate, &read(&certificate)?);
                    transcript.step(format!("opened the root {}", certificate.display()));
                    root
                }
                None => tasks.root.run(&self.secrets, transcript, now)?,
            };
            left.iter().try_for_each(|task| task.run(&root, transcript, now))
        })?;
        output.print(&outcome(Some(transcript)))
    }
}

/// Returns the root's certificate, if it exists, and checks it against the input.
fn existing_root(task: &RootTask) -> anyhow::Result<Option<CaCertificate>> {
    let path = task.certificate();
    if !path.exists() {
        return Ok(None);
    }
    let root = Root::read_certificate(&task.directory)?;
    let subject = distinguished(&task.common_name, task.organization.as_deref())?;
    let name = path.display();
    ensure!(
        *root.subject() == subject,
        "{name} exists, but its subject is {}, not {subject}",
        root.subject()
    );
    let expires = root.not_after() != Timestamp::NEVER;
    ensure!(
        expires == task.valid.is_some(),
        "{name} exists, but is valid until {}, which differs from the input",
        root.not_after()
    );
    Ok(Some(root))
}

/// Returns the subordinates without a certificate, and checks existing certificates against the input.
fn uncertified<'a>(
    root: &CaCertificate,
    tasks: &'a [CertifyTask],
) -> anyhow::Result<Vec<&'a CertifyTask>> {
    let mut left = Vec::new();
    for task in tasks {
        if task.certificate.exists() {
            check_existing(task, root, &task.certificate)?;
        } else {
            left.push(task);
        }
    }
    Ok(left)
}

fn check_existing(task: &CertifyTask, root: &CaCertificate, path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let fault = |fault: String| anyhow::anyhow!("{name} exists, but {fault}");
    let existing = CaCertificate::from_pem(&read(path)?).map_err(fault)?;
    ensure!(existing.is_issued_by(root), "{name} exists, but another root signed it");
    let Terms { common_name, organization, usage, .. } = &task.terms;
    let read = Certificate::from_der(existing.der())?;
    let purposes = read.tbs_certificate().get_extension::<ExtendedKeyUsage>()?;
    let matches_input = existing.public_key() == task.key()
        && *existing.subject() == distinguished(common_name, organization.as_deref())?
        && purposes.is_some_and(|(_, it)| it.0 == usage.key_purposes());
    ensure!(matches_input, "{name} exists, but its name, key or usage differs from the input");
    Ok(())
}

fn plan(
    task: &RootTask,
    root: Option<&CaCertificate>,
    left: &[&CertifyTask],
    now: Timestamp,
) -> anyhow::Result<Plan> {
    let mut plan = Plan::new();
    if let Some(root) = root {
        plan = plan.step(format!("open the existing root {}", task.certificate().display()));
        for task in left {
            let draft = task.draft(root.as_issuer(None), now)?;
            plan = plan.step(task.step()).remarks(task.terms.remark()).certificate(draft);
        }
        return Ok(plan);
    }
    plan = task.plan(plan, now)?;
    let new = task.new_root(now);
    let subject = distinguished(new.common_name, new.organization)?;
    let (key, _) = task.key()?.for_draft()?;
    let identifier = profile::key_identifier(key.spki()?.owned_to_ref())?;
    let issued_by = IssuedBy::self_signed(&subject, &key, &identifier).until(new.not_after);
    for task in left {
        let draft = task.draft(issued_by, now)?.without_issuer_key();
        plan = plan.step(task.step()).remarks(task.terms.remark()).certificate(draft);
    }
    Ok(plan)
}
