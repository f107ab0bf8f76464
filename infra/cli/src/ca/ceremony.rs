//! `birthcert ca ceremony`: root and subordinates by one reviewed input. What an interrupted ceremony
//! made is checked against the input and kept; the rest is done.

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
    confirm::Consent,
    files::{expect_new, read},
    output::Format,
    plan::Plan,
    root::{Root, Secrets, distinguished},
    transcript::Transcript,
};

const EXAMPLE: &str = concat!(
    "\
Examples:
  # A dry run, then the same with --yes
  birthcert ca ceremony --input ceremony.yaml
  birthcert ca ceremony --input ceremony.yaml --yes

An input:\n\n",
    include_str!("../../../ceremony.yaml"),
    "\nSee docs/ceremony.md."
);

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CeremonyCommand {
    /// The reviewed file, in YAML, that says what to make.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Make a root of the key that is in the token: after an interruption, or for a key that the
    /// token's own tools made.
    #[arg(long)]
    existing_key: bool,
    #[command(flatten)]
    secrets: Secrets,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Held {
    root: PathBuf,
    certificates: Vec<PathBuf>,
    /// None where everything was there.
    transcript: Option<PathBuf>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The root's certificate:        {}", self.root.display())?;
        for certificate in &self.certificates {
            write!(f, "\nThe subordinate's certificate: {}", certificate.display())?;
        }
        match &self.transcript {
            Some(path) => write!(f, "\nTranscript:                    {}", path.display()),
            None => f.write_str("\nAll of it was there."),
        }
    }
}

impl CeremonyCommand {
    pub(crate) fn run(self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let tasks = Tasks::read(&self.input, self.existing_key)?;
        let root = made_root(&tasks.root)?;
        let left = match &root {
            Some(root) => left_by(root, &tasks.subordinates)?,
            None => {
                for task in &tasks.subordinates {
                    expect_new(&task.certificate)?;
                }
                tasks.subordinates.iter().collect()
            }
        };
        let plan = plan(&tasks.root, root.as_ref(), &left, now)?;
        let held = |transcript| Held {
            root: tasks.root.certificate(),
            certificates: tasks.subordinates.iter().map(|it| it.certificate.clone()).collect(),
            transcript,
        };
        if root.is_some() && left.is_empty() {
            return output.print(&held(None));
        }
        if !self.consent.given(output, plan)? {
            return Ok(());
        }

        let directory = &tasks.root.directory;
        let mut transcript = Transcript::begin("ca ceremony", directory)?;
        transcript.input(&self.input, &tasks.text);
        transcript.present(&tasks.present);
        let ((), transcript) = transcript.of(|transcript| {
            let root = match root {
                Some(_) => {
                    let root = Root::open(directory, tasks.root.place.open(&self.secrets)?)?;
                    let certificate = tasks.root.certificate();
                    transcript.input(&certificate, &read(&certificate)?);
                    transcript.step(format!("opened the root {}", certificate.display()));
                    root
                }
                None => tasks.root.run(&self.secrets, transcript, now)?,
            };
            left.iter().try_for_each(|task| task.run(&root, transcript, now))
        })?;
        output.print(&held(Some(transcript)))
    }
}

/// The root's certificate, if it is there; it must be what the input asks for.
fn made_root(task: &RootTask) -> anyhow::Result<Option<CaCertificate>> {
    let path = task.certificate();
    if !path.exists() {
        return Ok(None);
    }
    let root = Root::read_certificate(&task.directory)?;
    let subject = distinguished(&task.common_name, task.organization.as_deref())?;
    let name = path.display();
    ensure!(
        *root.subject() == subject,
        "{name} is there, but its subject is {}, not {subject}",
        root.subject()
    );
    let expires = root.not_after() != Timestamp::NEVER;
    ensure!(
        expires == task.valid.is_some(),
        "{name} is there, but valid until {}, which is not what the input asks for",
        root.not_after()
    );
    Ok(Some(root))
}

/// The subordinates without a certificate. Those that are there must be what the input asks for.
fn left_by<'a>(
    root: &CaCertificate,
    tasks: &'a [CertifyTask],
) -> anyhow::Result<Vec<&'a CertifyTask>> {
    let mut left = Vec::new();
    for task in tasks {
        if task.certificate.exists() {
            check_made(task, root, &task.certificate)?;
        } else {
            left.push(task);
        }
    }
    Ok(left)
}

fn check_made(task: &CertifyTask, root: &CaCertificate, path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let fault = |fault: String| anyhow::anyhow!("{name} is there, but {fault}");
    let made = CaCertificate::from_pem(&read(path)?).map_err(fault)?;
    ensure!(made.is_issued_by(root), "{name} is there, but another root signed it");
    let Terms { common_name, organization, usage, .. } = &task.terms;
    let read = Certificate::from_der(made.der())?;
    let purposes = read.tbs_certificate().get_extension::<ExtendedKeyUsage>()?;
    let is_asked = made.public_key() == task.key()
        && *made.subject() == distinguished(common_name, organization.as_deref())?
        && purposes.is_some_and(|(_, it)| it.0 == usage.key_purposes());
    ensure!(
        is_asked,
        "{name} is there, but has another name, key or usage than the input asks for"
    );
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
        plan = plan.step(format!("open the root {}, which is there", task.certificate().display()));
        for task in left {
            let draft = task.draft(root.as_issuer(None), now)?;
            plan = plan.step(task.step()).remarks(task.terms.remark()).certificate(draft);
        }
        return Ok(plan);
    }
    plan = task.plan(plan, now)?;
    let asked = task.asked(now);
    let subject = distinguished(asked.common_name, asked.organization)?;
    let (key, _) = task.key()?.public()?;
    let identifier = profile::key_identifier(key.spki()?.owned_to_ref())?;
    let issued_by = IssuedBy::itself(&subject, &key, &identifier).until(asked.not_after);
    for task in left {
        let draft = task.draft(issued_by, now)?.without_issuer_key();
        plan = plan.step(task.step()).remarks(task.terms.remark()).certificate(draft);
    }
    Ok(plan)
}
