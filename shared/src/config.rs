//! What a function is told by its environment: read once, at cold start, and checked there.

use crate::aws::{AwsConfig, Credentials};

/// The environment of a function.
#[derive(Clone)]
pub struct Config {
    /// How to reach AWS.
    pub aws: AwsConfig,
    /// `TABLE_NAME`: the DynamoDB table.
    pub table_name: String,
    /// `DEVICE_CA`: the name of the CA that issues to devices; `device` unless set.
    pub device_ca: String,
}

/// A variable that is missing or cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {fault}")]
pub struct ConfigError {
    /// Its name.
    pub variable: &'static str,
    fault: String,
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The first variable at fault.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|variable| std::env::var(variable).ok())
    }

    /// Reads an environment through `lookup`. An empty variable counts as missing.
    ///
    /// # Errors
    /// The first variable at fault.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |variable| lookup(variable).filter(|value| !value.is_empty());
        let required = |variable| {
            let missing = || ConfigError { variable, fault: "is not set".into() };
            optional(variable).ok_or_else(missing)
        };
        let endpoint = |variable| match optional(variable).or_else(|| optional("AWS_ENDPOINT_URL"))
        {
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                let fault = "is no http:// or https:// URL".into();
                Err(ConfigError { variable, fault })
            }
            url => Ok(url),
        };
        let ca_bundle = optional("AWS_CA_BUNDLE").map(|path| {
            std::fs::read(&path).map_err(|error| ConfigError {
                variable: "AWS_CA_BUNDLE",
                fault: format!("names a file that cannot be read: {error}"),
            })
        });

        let table_name = required("TABLE_NAME")?;
        // https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        if table_name.len() < 3 || !table_name.chars().all(allowed) {
            let fault = "is no table name or ARN".into();
            return Err(ConfigError { variable: "TABLE_NAME", fault });
        }
        let device_ca = optional("DEVICE_CA").unwrap_or_else(|| "device".into());
        if !device_ca.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            let fault = "may only have a to z, 0 to 9 and hyphens".into();
            return Err(ConfigError { variable: "DEVICE_CA", fault });
        }
        Ok(Self {
            aws: AwsConfig {
                region: required("AWS_REGION")?,
                credentials: Credentials::new(
                    required("AWS_ACCESS_KEY_ID")?,
                    required("AWS_SECRET_ACCESS_KEY")?,
                    optional("AWS_SESSION_TOKEN"),
                    None,
                    "environment",
                ),
                endpoint_dynamodb: endpoint("AWS_ENDPOINT_URL_DYNAMODB")?,
                endpoint_kms: endpoint("AWS_ENDPOINT_URL_KMS")?,
                ca_bundle: ca_bundle.transpose()?,
            },
            table_name,
            device_ca,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|variable| {
            let changed = changes.iter().find(|(name, _)| *name == variable);
            match (changed, variable) {
                (Some((_, value)), _) => Some((*value).to_owned()),
                (None, "TABLE_NAME") => Some("birthcert".into()),
                (None, "AWS_REGION") => Some("eu-central-1".into()),
                (None, "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY") => Some("x".into()),
                (None, _) => None,
            }
        })
    }

    fn fault(variable: &'static str, value: &str) -> &'static str {
        read(&[(variable, value)]).err().unwrap().variable
    }

    #[test]
    fn has_defaults_for_what_lambda_does_not_set() {
        let config = read(&[]).unwrap();
        assert_eq!(config.device_ca, "device");
        assert_eq!(config.aws.endpoint_kms, None);
    }

    #[test]
    fn names_the_variable_at_fault() {
        for variable in ["TABLE_NAME", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert_eq!(fault(variable, ""), variable);
        }
        assert_eq!(fault("TABLE_NAME", "a b c"), "TABLE_NAME");
        assert_eq!(fault("DEVICE_CA", "../x"), "DEVICE_CA");
        assert_eq!(fault("AWS_ENDPOINT_URL_KMS", "localhost:1"), "AWS_ENDPOINT_URL_KMS");
        assert_eq!(fault("AWS_CA_BUNDLE", "/nonexistent"), "AWS_CA_BUNDLE");
    }

    #[test]
    fn a_services_own_endpoint_wins() {
        let both = [("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_KMS", "http://b")];
        let config = read(&both).unwrap();
        assert_eq!(config.aws.endpoint_dynamodb.as_deref(), Some("http://a"));
        assert_eq!(config.aws.endpoint_kms.as_deref(), Some("http://b"));
    }
}
