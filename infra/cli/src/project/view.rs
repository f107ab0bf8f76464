//! A project for operators.

use std::fmt;

use ledger::store::{PolicyTerms, ProjectRecord};
use serde::Serialize;

#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct ProjectView(pub(super) ProjectRecord);

impl fmt::Display for ProjectView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProjectRecord { project_id, name, policy, created_at } = &self.0;
        let PolicyTerms {
            validity_days,
            grace_hours,
            issuance_limit,
            not_after_cap,
            key_kinds,
            server_generated_keys,
            organization,
        } = policy.terms();
        writeln!(f, "Project:          {project_id}")?;
        writeln!(f, "Name:             {name}")?;
        write!(f, "Certificates:     valid for {validity_days} days")?;
        if let Some(cap) = not_after_cap {
            write!(f, ", at most until {cap}")?;
        }
        match organization {
            Some(organization) => writeln!(f, "\nOrganization:     {organization}")?,
            None => writeln!(f, "\nOrganization:     none")?,
        }
        writeln!(f, "Device keys:      {key_kinds}")?;
        let generated = if *server_generated_keys { "allowed" } else { "refused" };
        writeln!(f, "Server-generated: {generated}")?;
        writeln!(f, "Grace period:     {grace_hours} hours")?;
        writeln!(f, "Issuance limit:   {issuance_limit} per device")?;
        write!(f, "Created:          {created_at}")
    }
}
