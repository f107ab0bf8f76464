//! Selection of a project's devices, for lists and bulk commands.

use std::collections::HashSet;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use ledger::store::{DeviceCursor, DevicePage, DeviceQuery, DeviceRecord, DeviceStatus};
use pki::{
    clock::Timestamp,
    names::{Label, ProjectId, TokenId},
};

use crate::{context::Context, error::CommandError, options::time};

const HEADING: &str = "Filters";

#[derive(clap::Args, Default)]
#[group(id = "filters", multiple = true)]
pub(crate) struct Filters {
    /// Select devices whose label contains TEXT, ignoring case.
    // Every label contains the empty text, which a script's unset variable becomes.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    #[arg(help_heading = HEADING)]
    label: Option<String>,
    /// Select devices whose label starts with TEXT.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    #[arg(help_heading = HEADING)]
    label_prefix: Option<String>,
    /// Select devices with this status.
    #[arg(long, value_parser = PossibleValuesParser::new(STATUSES.map(DeviceStatus::as_str))
        .map(|name| status(&name)))]
    #[arg(help_heading = HEADING)]
    status: Option<DeviceStatus>,
    /// Select devices that enrolled with this token.
    #[arg(long)]
    #[arg(help_heading = HEADING)]
    token: Option<TokenId>,
    /// Select devices that enrolled with a token that has this batch label.
    #[arg(long, visible_alias = "batch", value_name = "LABEL")]
    #[arg(help_heading = HEADING)]
    batch_label: Option<Label>,
    /// Select devices that enrolled at this time or later, such as 2027-01-31T12:00:00Z or 2027-01-31.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    #[arg(help_heading = HEADING)]
    created_after: Option<Timestamp>,
    /// Select devices that enrolled before this time.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    #[arg(help_heading = HEADING)]
    created_before: Option<Timestamp>,
}

const STATUSES: [DeviceStatus; 4] =
    [DeviceStatus::Active, DeviceStatus::Disabled, DeviceStatus::Held, DeviceStatus::Revoked];

/// Returns the status with this name; clap accepts no other names.
fn status(name: &str) -> DeviceStatus {
    STATUSES.into_iter().find(|it| it.as_str() == name).unwrap_or(DeviceStatus::Active)
}

impl Filters {
    pub(crate) fn of_token(token: TokenId) -> Self {
        Self { token: Some(token), ..Self::default() }
    }

    pub(crate) fn of_label(text: String) -> Self {
        Self { label: Some(text), ..Self::default() }
    }
}

/// Reads a project's devices page by page.
pub(crate) struct Selection<'a> {
    context: &'a Context,
    project: ProjectId,
    query: DeviceQuery,
    label: Option<String>,
    label_prefix: Option<String>,
    status: Option<DeviceStatus>,
    /// Tokens with which the devices enrolled; any token if not set.
    tokens: Option<HashSet<TokenId>>,
    after: Option<DeviceCursor>,
    is_finished: bool,
}

impl<'a> Selection<'a> {
    /// Selects the devices of `project` that pass `filters`.
    ///
    /// # Errors
    /// If the project or a token of the filters does not exist: an empty list would hide a mistyped id.
    pub(crate) async fn new(
        context: &'a Context,
        project: ProjectId,
        filters: Filters,
        newest_first: bool,
        after: Option<DeviceCursor>,
    ) -> anyhow::Result<Self> {
        // An empty list would hide a mistyped id.
        context.project(project).await?;
        let tokens = match (filters.token, &filters.batch_label) {
            (None, None) => None,
            (token, batch) => {
                let mut tokens = context.store.tokens(project).await?;
                tokens.retain(|it| token.is_none_or(|token| it.token_id == token));
                if let (Some(token), true) = (token, tokens.is_empty()) {
                    let text = format!("token {token} in project {project}");
                    return Err(CommandError::Missing(text).into());
                }
                if let Some(batch) = batch {
                    tokens.retain(|it| it.batch_label.as_ref() == Some(batch));
                    if tokens.is_empty() {
                        let text = format!("token with the batch label {batch}");
                        return Err(CommandError::Missing(text).into());
                    }
                }
                Some(tokens.into_iter().map(|it| it.token_id).collect())
            }
        };
        let query = DeviceQuery {
            created_after: filters.created_after,
            created_before: filters.created_before,
            newest_first,
        };
        let label = filters.label.map(|text| text.to_lowercase());
        let Filters { label_prefix, status, .. } = filters;
        let is_finished = false;
        Ok(Self {
            context,
            project,
            query,
            label,
            label_prefix,
            status,
            tokens,
            after,
            is_finished,
        })
    }

    /// Returns the next page, or none after the last. `wanted` devices are enough.
    pub(crate) async fn next(
        &mut self,
        wanted: Option<usize>,
    ) -> anyhow::Result<Option<Vec<DeviceRecord>>> {
        if self.is_finished {
            return Ok(None);
        }
        // With filters, more devices are read than returned.
        let limit = wanted.filter(|_| !self.is_filtered()).map(|wanted| wanted.min(1000) as i32);
        let page = self.context.store.device_page(self.project, &self.query, self.after, limit);
        let DevicePage { mut devices, next } = page.await?;
        self.is_finished = next.is_none();
        self.after = next;
        devices.retain(|device| self.matches(device));
        Ok(Some(devices))
    }

    fn is_filtered(&self) -> bool {
        self.label.is_some()
            || self.label_prefix.is_some()
            || self.status.is_some()
            || self.tokens.is_some()
    }

    fn matches(&self, device: &DeviceRecord) -> bool {
        let label = device.label.as_ref().map(Label::as_str).unwrap_or_default();
        let part = self.label.as_ref();
        part.is_none_or(|part| label.to_lowercase().contains(part))
            && self.label_prefix.as_ref().is_none_or(|prefix| label.starts_with(prefix))
            && self.status.is_none_or(|status| device.status == status)
            && self.tokens.as_ref().is_none_or(|tokens| tokens.contains(&device.token_id))
    }
}
