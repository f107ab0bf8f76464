//! The input of a ceremony: one file that is written, reviewed and carried to the offline machine. The
//! ceremony does nothing that the file does not say, and an unknown key in the file is an error.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    certify::{CertifyTask, Terms},
    naming::UsageOption,
    root::RootTask,
    url::http_url,
    years::Years,
};
use crate::{
    files::read,
    root::{location::KeyLocation, pkcs11::Pkcs11Location},
};

/// The contents of the file. Its paths are relative to the file's directory.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    directory: PathBuf,
    #[serde(default)]
    present: Vec<String>,
    root: RootInput,
    #[serde(default)]
    subordinates: Vec<SubordinateInput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootInput {
    common_name: String,
    organization: Option<String>,
    valid_years: Option<Years>,
    #[serde(with = "yaml_serde::with::singleton_map")]
    key: KeyInput,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyInput {
    File,
    Pkcs11(Pkcs11Location),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubordinateInput {
    usage: UsageOption,
    common_name: String,
    organization: Option<String>,
    valid_years: Years,
    #[serde(default, deserialize_with = "url")]
    root_crl_url: Option<String>,
    csr: PathBuf,
    certificate: PathBuf,
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| http_url(&text)).transpose().map_err(D::Error::custom)
}

/// The tasks of a ceremony.
pub(super) struct Tasks {
    /// Text of the input.
    pub(super) text: String,
    /// Names of the people who attend.
    pub(super) present: Vec<String>,
    pub(super) root: RootTask,
    pub(super) subordinates: Vec<CertifyTask>,
}

impl Tasks {
    /// Reads the input and the CSRs that it names.
    pub(super) fn read(path: &Path, existing_key: bool) -> anyhow::Result<Self> {
        let text = read(path)?;
        let input: Input =
            yaml_serde::from_str(&text).with_context(|| path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let directory = folder.join(input.directory);
        let root = RootTask {
            common_name: input.root.common_name,
            organization: input.root.organization,
            valid: input.root.valid_years,
            key_location: match input.root.key {
                KeyInput::File => KeyLocation::File(directory.clone()),
                KeyInput::Pkcs11(location) => KeyLocation::Pkcs11(location),
            },
            existing_key,
            directory,
        };
        let mut subordinates: Vec<CertifyTask> = Vec::with_capacity(input.subordinates.len());
        for it in input.subordinates {
            let terms = Terms {
                usage: it.usage.usage(),
                common_name: it.common_name,
                organization: it.organization,
                valid: it.valid_years,
                root_crl_url: it.root_crl_url,
            };
            let task = CertifyTask::new(terms, folder.join(it.csr), folder.join(it.certificate))?;
            for other in &subordinates {
                let file = task.certificate.display();
                ensure!(
                    other.certificate != task.certificate,
                    "two subordinates have the same certificate file {file}"
                );
                // A key of two CAs could do what neither CA alone may do.
                ensure!(
                    other.key() != task.key(),
                    "two subordinates have the same key: see {file}"
                );
            }
            subordinates.push(task);
        }
        Ok(Self { text, present: input.present, root, subordinates })
    }
}
