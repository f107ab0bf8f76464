//! Projects: a fleet, and the policy for its certificates.

use serde::{Deserialize, Serialize};

use super::{META, Store, item};
use crate::{clock::Timestamp, error::Result, id::ProjectId, label::Label};

pub(super) fn partition(id: ProjectId) -> String {
    format!("PROJECT#{id}")
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// Its id.
    pub project_id: ProjectId,
    /// For people.
    pub name: Label,
    /// For its devices' certificates.
    pub policy: Policy,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a project's devices get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPolicy")]
pub struct Policy {
    validity_days: u32,
    grace_hours: u32,
    issuance_limit: u32,
}

#[derive(Deserialize)]
struct RawPolicy {
    validity_days: u32,
    grace_hours: u32,
    issuance_limit: u32,
}

/// A policy out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(&'static str);

impl Policy {
    /// Thirty years, leap days included.
    pub const DEFAULT_VALIDITY_DAYS: u32 = 10_957;
    /// A day.
    pub const DEFAULT_GRACE_HOURS: u32 = 24;
    /// The first identity and nine recoveries.
    pub const DEFAULT_ISSUANCE_LIMIT: u32 = 10;

    /// A policy: how many days a certificate is valid, how many hours a superseded one still is,
    /// and how many a device may be issued.
    ///
    /// # Errors
    /// When a number makes no sense.
    pub fn new(
        validity_days: u32,
        grace_hours: u32,
        issuance_limit: u32,
    ) -> Result<Self, PolicyError> {
        match () {
            () if !(1..=36_525).contains(&validity_days) => {
                Err(PolicyError("the validity must be 1 to 36525 days (100 years)"))
            }
            () if grace_hours > 8_760 => {
                Err(PolicyError("the grace period may be 8760 hours at most"))
            }
            () if issuance_limit == 0 => Err(PolicyError("the issuance limit must be 1 at least")),
            () => Ok(Self { validity_days, grace_hours, issuance_limit }),
        }
    }

    /// How long a certificate is valid.
    #[must_use]
    pub fn validity_seconds(&self) -> u64 {
        u64::from(self.validity_days) * 24 * 60 * 60
    }

    /// How long a superseded certificate stays off the CRL.
    #[must_use]
    pub fn grace_seconds(&self) -> u64 {
        u64::from(self.grace_hours) * 60 * 60
    }

    /// How many certificates a device may be issued.
    #[must_use]
    pub fn issuance_limit(&self) -> u32 {
        self.issuance_limit
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            validity_days: Self::DEFAULT_VALIDITY_DAYS,
            grace_hours: Self::DEFAULT_GRACE_HOURS,
            issuance_limit: Self::DEFAULT_ISSUANCE_LIMIT,
        }
    }
}

impl TryFrom<RawPolicy> for Policy {
    type Error = PolicyError;

    fn try_from(raw: RawPolicy) -> Result<Self, PolicyError> {
        Self::new(raw.validity_days, raw.grace_hours, raw.issuance_limit)
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    record: &'a ProjectRecord,
    inventory: &'static str,
}

const INVENTORY_PARTITION: &str = "PROJECTS";

impl Store {
    /// The project `id`.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn project(&self, id: ProjectId) -> Result<Option<ProjectRecord>> {
        self.get(partition(id), META.into()).await
    }

    /// Projects, oldest first; at most `limit` of them.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn projects(&self, limit: Option<usize>) -> Result<Vec<ProjectRecord>> {
        self.inventory(INVENTORY_PARTITION.into(), limit).await
    }

    /// Adds a project.
    ///
    /// # Errors
    /// When it exists, or the store is away.
    pub async fn create_project(&self, record: &ProjectRecord) -> Result<()> {
        let listed = Listed { record, inventory: INVENTORY_PARTITION };
        let item = item(partition(record.project_id), META.into(), &listed)?;
        self.create(item, format!("project {}", record.project_id)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_bounds() {
        assert!(Policy::new(1, 0, 1).is_ok());
        assert!(Policy::new(0, 0, 1).is_err());
        assert!(Policy::new(36_526, 0, 1).is_err());
        assert!(Policy::new(1, 8_761, 1).is_err());
        assert!(Policy::new(1, 0, 0).is_err());
    }

    #[test]
    fn a_stored_policy_is_checked_too() {
        let stored = r#"{"validity_days":0,"grace_hours":24,"issuance_limit":10}"#;
        assert!(serde_json::from_str::<Policy>(stored).is_err());
    }
}
