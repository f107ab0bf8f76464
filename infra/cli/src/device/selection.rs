//! Which of a project's devices: what lists and bulk commands have in common.

use std::collections::HashSet;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use ledger::store::{DevicePage, DeviceQuery, DeviceRecord, DeviceStatus, Position};
use pki::{
    clock::Timestamp,
    names::{Label, ProjectId, TokenId},
};

use crate::{Context, exit::Stop, moment};

#[derive(clap::Args, Default)]
#[group(id = "filters", multiple = true)]
pub(crate) struct Filters {
    /// Only devices whose label has this in it, in capitals or not.
    // Not an empty one, which all labels have in them: it is what a script's unset variable becomes.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    label: Option<String>,
    /// Only devices whose label begins with this.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    label_prefix: Option<String>,
    /// Only devices that are active, disabled, held or revoked.
    #[arg(long, value_parser = PossibleValuesParser::new(STATUSES.map(DeviceStatus::as_str))
        .map(|name| status(&name)))]
    status: Option<DeviceStatus>,
    /// Only devices that came in on this enrollment token.
    #[arg(long)]
    token: Option<TokenId>,
    /// Only devices that came in on the tokens with this batch label.
    #[arg(long, visible_alias = "batch", value_name = "LABEL")]
    batch_label: Option<Label>,
    /// Only devices that enrolled at this time or later: 2027-01-31T12:00:00Z or 2027-01-31.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    created_after: Option<Timestamp>,
    /// Only devices that enrolled before this time.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    created_before: Option<Timestamp>,
}

const STATUSES: [DeviceStatus; 4] =
    [DeviceStatus::Active, DeviceStatus::Disabled, DeviceStatus::Held, DeviceStatus::Revoked];

/// Of a name that is one of them.
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

/// A walk over a project's devices, page by page.
pub(crate) struct Selection<'a> {
    context: &'a Context,
    project: ProjectId,
    query: DeviceQuery,
    label: Option<String>,
    label_prefix: Option<String>,
    status: Option<DeviceStatus>,
    /// Those that the devices came in on; any, unless set.
    tokens: Option<HashSet<TokenId>>,
    after: Option<Position>,
    is_over: bool,
}

impl<'a> Selection<'a> {
    /// The devices of `project` that pass `filters`. What the filters name has to be there: an empty
    /// list would hide a mistyped id.
    pub(crate) async fn new(
        context: &'a Context,
        project: ProjectId,
        filters: Filters,
        newest_first: bool,
        after: Option<Position>,
    ) -> anyhow::Result<Self> {
        context.expect_project(project).await?;
        let tokens = match (filters.token, &filters.batch_label) {
            (None, None) => None,
            (token, batch) => {
                let mut tokens = context.store.tokens(project).await?;
                tokens.retain(|it| token.is_none_or(|token| it.token_id == token));
                if let (Some(token), true) = (token, tokens.is_empty()) {
                    let text = format!("token {token} in project {project}");
                    return Err(Stop::Missing(text).into());
                }
                if let Some(batch) = batch {
                    tokens.retain(|it| it.batch_label.as_ref() == Some(batch));
                    if tokens.is_empty() {
                        let text = format!("token with the batch label {batch}");
                        return Err(Stop::Missing(text).into());
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
        let is_over = false;
        Ok(Self { context, project, query, label, label_prefix, status, tokens, after, is_over })
    }

    /// The next devices, of which `wanted` are enough; nothing, when there are no more.
    pub(crate) async fn next(
        &mut self,
        wanted: Option<usize>,
    ) -> anyhow::Result<Option<Vec<DeviceRecord>>> {
        if self.is_over {
            return Ok(None);
        }
        // Whatever is filtered out is read nevertheless.
        let limit = wanted.filter(|_| !self.is_filtered()).map(|wanted| wanted.min(1000) as i32);
        let page = self.context.store.device_page(self.project, &self.query, self.after, limit);
        let DevicePage { mut devices, next } = page.await?;
        self.is_over = next.is_none();
        self.after = next;
        devices.retain(|device| self.has(device));
        Ok(Some(devices))
    }

    fn is_filtered(&self) -> bool {
        self.label.is_some()
            || self.label_prefix.is_some()
            || self.status.is_some()
            || self.tokens.is_some()
    }

    fn has(&self, device: &DeviceRecord) -> bool {
        let label = device.label.as_ref().map(Label::as_str).unwrap_or_default();
        let part = self.label.as_ref();
        part.is_none_or(|part| label.to_lowercase().contains(part))
            && self.label_prefix.as_ref().is_none_or(|prefix| label.starts_with(prefix))
            && self.status.is_none_or(|status| device.status == status)
            && self.tokens.as_ref().is_none_or(|tokens| tokens.contains(&device.token_id))
    }
}
