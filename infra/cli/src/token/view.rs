//! An enrollment token for operators: without its secret and the secret's hash.

use std::fmt;

use ledger::store::{EnrollmentTokenRecord, TokenStatus};
use pki::{
    clock::Timestamp,
    names::{AddressRanges, Label, TokenId},
};
use serde::Serialize;

use crate::output::rows::Row;

#[derive(Serialize)]
pub(crate) struct TokenView {
    token_id: TokenId,
    status: TokenStatus,
    uses: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_cap: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_ranges: Option<AddressRanges>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    regenerated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_label: Option<Label>,
}

impl From<EnrollmentTokenRecord> for TokenView {
    fn from(record: EnrollmentTokenRecord) -> Self {
        Self {
            token_id: record.token_id,
            status: record.status,
            uses: record.uses,
            device_cap: record.device_cap,
            expires_at: record.expires_at,
            address_ranges: record.address_ranges,
            created_at: record.created_at,
            regenerated_at: record.regenerated_at,
            batch_label: record.batch_label,
        }
    }
}

impl TokenView {
    fn devices(&self) -> String {
        let cap = self.device_cap.map_or_else(|| "no cap".into(), |cap| cap.to_string());
        format!("{} of {cap}", self.uses)
    }

    fn expires(&self) -> String {
        self.expires_at.map_or_else(|| "never".into(), |time| time.to_string())
    }

    fn batch(&self) -> String {
        self.batch_label.as_ref().map(Label::to_string).unwrap_or_default()
    }
}

impl Row for TokenView {
    const TITLES: &'static [&'static str] =
        &["TOKEN", "STATUS", "DEVICES", "EXPIRES", "CREATED", "BATCH"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.token_id.to_string(),
            self.status.to_string(),
            self.devices(),
            self.expires(),
            self.created_at.to_string(),
            self.batch(),
        ]
    }

    const FIELDS: &'static [&'static str] = &[
        "token_id",
        "status",
        "uses",
        "device_cap",
        "expires_at",
        "address_ranges",
        "created_at",
        "regenerated_at",
        "batch_label",
    ];

    fn record(&self) -> Vec<String> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let ranges = self.address_ranges.as_ref();
        vec![
            self.token_id.to_string(),
            self.status.to_string(),
            self.uses.to_string(),
            self.device_cap.map(|cap| cap.to_string()).unwrap_or_default(),
            time(self.expires_at),
            ranges.map(|ranges| ranges.iter().collect::<Vec<_>>().join(" ")).unwrap_or_default(),
            self.created_at.to_string(),
            time(self.regenerated_at),
            self.batch(),
        ]
    }
}

/// Formats one token.
impl fmt::Display for TokenView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Token:       {}", self.token_id)?;
        writeln!(f, "Status:      {}", self.status)?;
        if let Some(label) = &self.batch_label {
            writeln!(f, "Batch:       {label}")?;
        }
        writeln!(f, "Devices:     {}", self.devices())?;
        match &self.address_ranges {
            Some(ranges) => writeln!(f, "Addresses:   {ranges}")?,
            None => writeln!(f, "Addresses:   any")?,
        }
        writeln!(f, "Expires:     {}", self.expires())?;
        write!(f, "Created:     {}", self.created_at)?;
        if let Some(time) = self.regenerated_at {
            write!(f, "\nRegenerated: {time}")?;
        }
        Ok(())
    }
}
