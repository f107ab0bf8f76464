//! Selection of CAs.

use pki::authority::AuthorityRecord;

use crate::{context::Context, error::CommandError};

#[derive(clap::Args)]
pub(crate) struct CaSelection {
    /// Name of a CA, such as device. The default is all CAs.
    #[arg(long, value_name = "NAME")]
    ca: Option<String>,
}

impl CaSelection {
    /// Returns the selected CAs.
    ///
    /// # Errors
    /// If there are none, or DynamoDB is unavailable.
    pub(super) async fn authorities(
        &self,
        context: &Context,
    ) -> anyhow::Result<Vec<AuthorityRecord>> {
        let known = context.store.authorities().await?;
        let is_selected = |name: &str| self.ca.as_deref().is_none_or(|ca| ca == name);
        let records = known.into_iter().map(|it| it.record);
        let records: Vec<_> = records.filter(|it| is_selected(it.name.as_str())).collect();
        match (&self.ca, records.is_empty()) {
            (Some(name), true) => Err(CommandError::Missing(format!("CA named {name}")).into()),
            (None, true) => {
                let text = "CA yet: set one up with birthcert ca subordinate";
                Err(CommandError::Missing(text.into()).into())
            }
            _ => Ok(records),
        }
    }
}
