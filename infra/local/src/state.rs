//! `local.json`: what a program needs to know of a running stack.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The region that the stack plays.
pub const REGION: &str = "us-east-1";
/// Both halves of the credentials: nobody checks them here.
pub const CREDENTIAL: &str = "local";
/// The bucket's name.
pub const BUCKET: &str = "birthcert";
/// The table's name.
pub const TABLE: &str = "birthcert";

const FILE: &str = "local.json";

/// The contents of `local.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    /// The API, without a slash at the end.
    pub api_url: String,
    /// The demo project.
    pub project_id: String,
    /// Enrolls devices into it.
    pub enrollment_token: String,
    /// The root's certificate.
    pub root_certificate: PathBuf,
    /// The DynamoDB table.
    pub table_name: String,
    /// The region to sign requests for.
    pub region: String,
    /// The embedded DynamoDB.
    pub aws_endpoint_url_dynamodb: String,
    /// The stand-in for KMS.
    pub aws_endpoint_url_kms: String,
    /// The stand-in for S3.
    pub aws_endpoint_url_s3: String,
    /// The bucket's name.
    pub bucket_name: String,
}

impl State {
    /// What the stack in `data` last wrote.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}: is this the directory of a stack? Start one with \
                 birthcert-local serve --data {}",
                path.display(),
                data.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Replaces what is in `data`, at once and readable for the owner only: it has a token in it.
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

    /// For a shell: `birthcert` and the AWS CLI find the stack by these.
    #[must_use]
    pub fn exports(&self) -> String {
        let root = self.root_certificate.display().to_string();
        let variables = [
            ("AWS_ACCESS_KEY_ID", CREDENTIAL),
            ("AWS_SECRET_ACCESS_KEY", CREDENTIAL),
            ("AWS_REGION", &self.region),
            // Version 1 of the AWS CLI knows only this one.
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
            // In single quotes a shell reads everything but a single quote as it stands.
            format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
        };
        // Credentials of another kind would win over these.
        format!("unset AWS_PROFILE AWS_SESSION_TOKEN\n{}", variables.map(export).concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_survive_a_shell() {
        let state = State {
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
        let script = format!("{}\nprintf %s \"$BIRTHCERT_ROOT_CERTIFICATE\"", state.exports());
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.stdout, b"/tmp/it's $HOME/root.pem");
    }
}
