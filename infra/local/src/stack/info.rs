//! `local.json`: the addresses, names and credentials that programs need to use the stack.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The AWS region of the stack.
pub const REGION: &str = "us-east-1";
/// The AWS access key ID, and also the secret access key. Nothing verifies them.
pub const CREDENTIAL: &str = "local";
/// The name of the bucket.
pub(crate) const BUCKET: &str = "birthcert";
/// The name of the table.
pub(crate) const TABLE: &str = "birthcert";

const FILE: &str = "local.json";

/// The contents of `local.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct StackInfo {
    /// The URL of the API, without a trailing slash.
    pub api_url: String,
    /// The ID of the demo project.
    pub project_id: String,
    /// An enrollment token of the demo project.
    pub enrollment_token: String,
    /// The path of the root certificate.
    pub root_certificate: PathBuf,
    /// The name of the DynamoDB table.
    pub table_name: String,
    /// The AWS region.
    pub region: String,
    /// The endpoint of the embedded DynamoDB.
    pub aws_endpoint_url_dynamodb: String,
    /// The endpoint of the stand-in for KMS.
    pub aws_endpoint_url_kms: String,
    /// The endpoint of the stand-in for S3.
    pub aws_endpoint_url_s3: String,
    /// The name of the bucket.
    pub bucket_name: String,
}

impl StackInfo {
    /// Reads the file in `data`, the directory of a stack.
    ///
    /// # Errors
    /// If the file is missing or damaged.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}: no stack was started in this directory; start one with \
                 birthcert-local serve --data {}",
                path.display(),
                data.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Replaces the file in `data` atomically. Only the owner can read it, because it contains a token.
    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let new = data.join("local.json.new");
        let _ = fs::remove_file(&new);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, data.join(FILE))?;
        Ok(())
    }

    /// Returns shell commands that export the variables of `birthcert` and the AWS CLI.
    #[must_use]
    pub(crate) fn exports(&self) -> String {
        let root = self.root_certificate.display().to_string();
        let variables = [
            ("AWS_ACCESS_KEY_ID", CREDENTIAL),
            ("AWS_SECRET_ACCESS_KEY", CREDENTIAL),
            ("AWS_REGION", &self.region),
            // Version 1 of the AWS CLI does not read AWS_REGION.
            ("AWS_DEFAULT_REGION", &self.region),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.aws_endpoint_url_dynamodb),
            ("AWS_ENDPOINT_URL_KMS", &self.aws_endpoint_url_kms),
            ("AWS_ENDPOINT_URL_S3", &self.aws_endpoint_url_s3),
            ("BIRTHCERT_TABLE", &self.table_name),
            ("BIRTHCERT_API_URL", &self.api_url),
            ("BIRTHCERT_PROJECT", &self.project_id),
            ("BIRTHCERT_ENROLLMENT_TOKEN", &self.enrollment_token),
            ("BIRTHCERT_ROOT_CERTIFICATE", &root),
        ];
        let export = |(name, value): (&str, &str)| {
            // In single quotes, a shell interprets nothing but the closing quote.
            format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
        };
        // A profile or a session token would take precedence over these credentials.
        format!("unset AWS_PROFILE AWS_SESSION_TOKEN\n{}", variables.map(export).concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_survive_a_shell() {
        let info = StackInfo {
            api_url: "http://127.0.0.1:1".into(),
            project_id: "proj_x".into(),
            enrollment_token: "et_x".into(),
            root_certificate: "/tmp/it's $HOME/root.pem".into(),
            table_name: TABLE.into(),
            region: REGION.into(),
            aws_endpoint_url_dynamodb: "http://127.0.0.1:2".into(),
            aws_endpoint_url_kms: "http://127.0.0.1:3".into(),
            aws_endpoint_url_s3: "http://127.0.0.1:4".into(),
            bucket_name: BUCKET.into(),
        };
        let script = format!("{}\nprintf %s \"$BIRTHCERT_ROOT_CERTIFICATE\"", info.exports());
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.stdout, b"/tmp/it's $HOME/root.pem");
    }
}
