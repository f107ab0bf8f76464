//! The configuration of a function: environment variables, read and validated once, at cold start.

use std::ffi::OsString;

use http::Uri;
use ledger::aws::{AwsConfig, CaBundle, Credentials};
use pki::authority::Roots;

/// The configuration of a function.
#[derive(Clone)]
pub struct Config {
    /// Region, credentials and endpoints of AWS.
    pub aws: AwsConfig,
    /// `TABLE_NAME`: the DynamoDB table.
    pub table_name: String,
    /// `BUCKET_NAME`: the S3 bucket for published files. Only the function `crl` needs it.
    pub bucket_name: Option<String>,
    /// `ROOT_SHA256`: the roots that a CA may have. Empty admits any root.
    pub roots: Roots,
}

/// An environment variable that is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {fault}")]
pub struct ConfigError {
    /// The name of the variable.
    pub variable: &'static str,
    fault: String,
}

/// Returns a variable of the process's environment.
#[must_use]
pub(crate) fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable)
}

/// Checks the variables that Lambda sets for its runtime. They are missing if a function is started by
/// hand.
///
/// # Errors
/// If a variable is missing or invalid.
pub(crate) fn check_runtime(lookup: impl Fn(&str) -> Option<OsString>) -> Result<(), ConfigError> {
    let environment = Environment(lookup);
    environment.required("AWS_LAMBDA_FUNCTION_NAME")?;
    environment.required("AWS_LAMBDA_FUNCTION_VERSION")?;
    let memory = environment.required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
    if memory.parse::<i32>().is_err() {
        return fault("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "is not a whole number of megabytes");
    }
    let api = environment.required("AWS_LAMBDA_RUNTIME_API")?;
    if !is_endpoint(&format!("http://{api}")) {
        return fault("AWS_LAMBDA_RUNTIME_API", "is not a host and port");
    }
    Ok(())
}

impl Config {
    /// Reads the configuration through `lookup`. An empty variable counts as missing.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let environment = Environment(lookup);

        let table_name = environment.required("TABLE_NAME")?;
        // https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        if !(3..=1024).contains(&table_name.len()) || !table_name.chars().all(allowed) {
            return fault("TABLE_NAME", "is not a valid table name or ARN");
        }
        let bucket_name = environment.optional("BUCKET_NAME")?;
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        let is_name = |name: &String| (3..=63).contains(&name.len()) && name.chars().all(allowed);
        if !bucket_name.as_ref().is_none_or(is_name) {
            return fault("BUCKET_NAME", "is not a valid bucket name");
        }
        let roots = environment.optional("ROOT_SHA256")?.map(|text| text.parse::<Roots>());
        let roots = roots
            .transpose()
            .map_err(|error| ConfigError { variable: "ROOT_SHA256", fault: error.to_string() })?;
        let region = environment.required("AWS_REGION")?;
        // The region becomes part of host names.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if region.len() > 63 || region.starts_with('-') || !region.chars().all(allowed) {
            return fault("AWS_REGION", "is not a valid region");
        }
        Ok(Self {
            aws: AwsConfig {
                region,
                credentials: environment.credentials()?,
                endpoint_dynamodb: environment.endpoint("AWS_ENDPOINT_URL_DYNAMODB")?,
                endpoint_kms: environment.endpoint("AWS_ENDPOINT_URL_KMS")?,
                endpoint_s3: environment.endpoint("AWS_ENDPOINT_URL_S3")?,
                ca_bundle: environment.ca_bundle()?,
                http_client: None,
            },
            table_name,
            bucket_name,
            roots: roots.unwrap_or_default(),
        })
    }
}

impl Config {
    /// Returns the bucket's name, for the function that requires it.
    ///
    /// # Errors
    /// If `BUCKET_NAME` is not set.
    pub fn bucket_name(&self) -> Result<&str, ConfigError> {
        match &self.bucket_name {
            Some(name) => Ok(name),
            None => fault("BUCKET_NAME", "is not set"),
        }
    }
}

struct Environment<L>(L);

impl<L: Fn(&str) -> Option<OsString>> Environment<L> {
    fn optional(&self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        match (self.0)(variable).map(OsString::into_string) {
            Some(Err(_)) => fault(variable, "is not UTF-8"),
            Some(Ok(value)) if !value.is_empty() => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    fn required(&self, variable: &'static str) -> Result<String, ConfigError> {
        match self.optional(variable)? {
            Some(value) => Ok(value),
            None => fault(variable, "is not set"),
        }
    }

    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let key_id = self.required("AWS_ACCESS_KEY_ID")?;
        // In signatures, slashes separate the parts of the scope, and commas those of the header.
        if !is_visible(&key_id) || key_id.contains(['/', ',']) {
            return fault("AWS_ACCESS_KEY_ID", "is not a valid access key id");
        }
        let secret = self.required("AWS_SECRET_ACCESS_KEY")?;
        if !is_visible(&secret) {
            return fault("AWS_SECRET_ACCESS_KEY", "is not a valid secret access key");
        }
        let session = self.optional("AWS_SESSION_TOKEN")?;
        if session.as_deref().is_some_and(|token| !is_visible(token)) {
            return fault("AWS_SESSION_TOKEN", "is not a valid session token");
        }
        Ok(Credentials::new(key_id, secret, session, None, "environment"))
    }

    /// Returns the endpoint of one service, or the one for all services.
    fn endpoint(&self, own: &'static str) -> Result<Option<String>, ConfigError> {
        for variable in [own, "AWS_ENDPOINT_URL"] {
            match self.optional(variable)? {
                Some(url) if !is_endpoint(&url) => {
                    return fault(variable, "is not a valid http:// or https:// URL");
                }
                Some(url) => return Ok(Some(url)),
                None => {}
            }
        }
        Ok(None)
    }

    fn ca_bundle(&self) -> Result<Option<CaBundle>, ConfigError> {
        const VARIABLE: &str = "AWS_CA_BUNDLE";
        let Some(path) = self.optional(VARIABLE)? else {
            return Ok(None);
        };
        let refused = |why: String| ConfigError {
            variable: VARIABLE,
            fault: format!("names a file that {why}"),
        };
        let pem =
            std::fs::read(&path).map_err(|error| refused(format!("cannot be read: {error}")))?;
        CaBundle::try_from(pem).map(Some).map_err(refused)
    }
}

fn fault<T>(variable: &'static str, fault: &str) -> Result<T, ConfigError> {
    Err(ConfigError { variable, fault: fault.into() })
}

/// Returns true if `text` can be sent in a header.
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns true if `url` consists of a scheme and a host, with an optional port and path.
fn is_endpoint(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return false;
    };
    let host = authority.host();
    let is_right = match authority.port_u16() {
        Some(port) => authority.as_str() == format!("{host}:{port}"),
        None => authority.as_str() == host,
    };
    matches!(scheme, "http" | "https") && !host.is_empty() && is_right && url.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|variable| {
            let changed = changes.iter().find(|(name, _)| *name == variable);
            match (changed, variable) {
                (Some((_, value)), _) => Some(value.into()),
                (None, "TABLE_NAME") => Some("birthcert".into()),
                (None, "AWS_REGION") => Some("eu-central-1".into()),
                (None, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY") => Some("x".into()),
                (None, _) => None,
            }
        })
    }

    #[test]
    fn optional_variables_have_defaults() {
        for changes in [&[][..], &[("AWS_SESSION_TOKEN", ""), ("AWS_ENDPOINT_URL", "")]] {
            let config = read(changes).unwrap();
            assert_eq!(config.aws.endpoint_kms, None);
        }
    }

    #[test]
    fn names_the_variable_at_fault_and_not_its_value() {
        for (variable, value) in [
            ("TABLE_NAME", "a b c"),
            ("TABLE_NAME", ".."),
            ("BUCKET_NAME", "A bucket"),
            ("ROOT_SHA256", "the root"),
            ("AWS_REGION", "eu central"),
            ("AWS_ACCESS_KEY_ID", "a/b"),
            ("AWS_SECRET_ACCESS_KEY", "with space"),
            ("AWS_SESSION_TOKEN", "two\nlines"),
            ("AWS_ENDPOINT_URL", "ftp://host"),
            ("AWS_ENDPOINT_URL_KMS", "localhost:1"),
            ("AWS_ENDPOINT_URL_S3", "localhost:1"),
            ("AWS_CA_BUNDLE", "/nonexistent"),
        ] {
            let error = read(&[(variable, value)]).err().unwrap();
            assert_eq!(error.variable, variable);
            assert!(!error.to_string().contains(value), "{error}");
        }
        for variable in ["TABLE_NAME", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let error = read(&[(variable, "")]).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!("the environment variable {variable} is not set")
            );
        }
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host() {
        for good in ["http://127.0.0.1:8000", "https://kms.example.com/", "http://[::1]:1/path"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "http://",
            "http://:80",
            "http://a:99999",
            "http://a:",
            "http://u:p@a",
            "http://a b",
            "http://a?b",
            "a",
            "/a",
            "file:///a",
            "",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }

    #[test]
    fn a_services_own_endpoint_wins() {
        let both = [("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_KMS", "http://b")];
        let config = read(&both).unwrap();
        assert_eq!(config.aws.endpoint_dynamodb.as_deref(), Some("http://a"));
        assert_eq!(config.aws.endpoint_kms.as_deref(), Some("http://b"));
    }
}
