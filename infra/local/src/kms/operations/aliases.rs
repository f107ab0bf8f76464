//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kms::{
    alias::{self, Alias},
    error::{ErrorCode, KmsError},
    identifier::{ALIAS_PREFIX, KeyId, KeyIdentifier},
    key_store::{Contents, KeyStore, now},
    pagination::PageLimits,
    validation::{check_length, check_pattern, required},
};

const LIMITS: PageLimits = PageLimits { max: 100, default: 50 };

/// The request of CreateAlias and UpdateAlias.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAliasRequest {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteAliasRequest {
    alias_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAliasesRequest {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAliasesResponse {
    aliases: Vec<AliasListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AliasListEntry {
    alias_name: String,
    alias_arn: String,
    target_key_id: String,
    creation_date: u64,
    last_updated_date: u64,
}

impl KeyStore {
    pub(super) fn create_alias(&self, request: SetAliasRequest) -> Result<(), KmsError> {
        let name = alias_name(request.alias_name)?;
        let mut contents = self.write()?;
        let target = self.target(&contents, request.target_key_id)?;
        if contents.aliases.contains_key(&name) {
            let arn = self.arns.of_alias(&name);
            let message = format!("An alias with the name {arn} already exists");
            return Err(KmsError::new(ErrorCode::AlreadyExists, message));
        }
        let at = now();
        let alias = Alias { target, created: at, updated: at };
        self.change_aliases(&mut contents, |aliases| aliases.insert(name, alias))
    }

    pub(super) fn update_alias(&self, request: SetAliasRequest) -> Result<(), KmsError> {
        let name = alias_name(request.alias_name)?;
        let mut contents = self.write()?;
        let target = self.target(&contents, request.target_key_id)?;
        let current = contents.aliases.get(&name).ok_or_else(|| self.alias_not_found(&name))?;
        let alias = Alias { target, created: current.created, updated: now() };
        self.change_aliases(&mut contents, |aliases| aliases.insert(name, alias))
    }

    pub(super) fn delete_alias(&self, request: DeleteAliasRequest) -> Result<(), KmsError> {
        let name = alias_name(request.alias_name)?;
        let mut contents = self.write()?;
        if !contents.aliases.contains_key(&name) {
            return Err(self.alias_not_found(&name));
        }
        self.change_aliases(&mut contents, |aliases| aliases.remove(&name))
    }

    pub(super) fn list_aliases(
        &self,
        request: ListAliasesRequest,
    ) -> Result<ListAliasesResponse, KmsError> {
        let contents = self.read()?;
        let target = request.key_id.map(|text| self.arns.parse_key(&text)).transpose()?;
        if let Some(id) = target.as_ref().filter(|id| !contents.keys.contains_key(id)) {
            return Err(self.key_not_found(id));
        }
        let entries = contents
            .aliases
            .iter()
            .filter(|(_, alias)| target.as_ref().is_none_or(|id| alias.target == *id))
            .map(|(name, alias)| (name.as_str(), self.alias_list_entry(name, alias)));
        let page = LIMITS.page(entries, request.limit, request.marker.as_deref())?;
        Ok(ListAliasesResponse {
            aliases: page.items,
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        })
    }

    fn alias_list_entry(&self, name: &str, alias: &Alias) -> AliasListEntry {
        AliasListEntry {
            alias_name: name.to_owned(),
            alias_arn: self.arns.of_alias(name),
            target_key_id: alias.target.as_str().to_owned(),
            creation_date: alias.created,
            last_updated_date: alias.updated,
        }
    }

    /// Returns the ID of a key that may be the target of an alias.
    fn target(&self, contents: &Contents, text: Option<String>) -> Result<KeyId, KmsError> {
        let KeyIdentifier::Id(id) = self.arns.parse(&required(text, "targetKeyId")?)? else {
            let message = "Aliases must refer to keys. Not aliases";
            return Err(KmsError::new(ErrorCode::Validation, message));
        };
        let key = contents.keys.get(&id).ok_or_else(|| self.key_not_found(&id))?;
        key.record.state.check_not_pending_deletion(&self.arns.of_key(&id))?;
        Ok(id)
    }

    /// Changes the aliases, on disk first.
    fn change_aliases<T>(
        &self,
        contents: &mut Contents,
        change: impl FnOnce(&mut BTreeMap<String, Alias>) -> T,
    ) -> Result<(), KmsError> {
        let mut aliases = contents.aliases.clone();
        change(&mut aliases);
        alias::store(&self.directory, &aliases)?;
        contents.aliases = aliases;
        Ok(())
    }
}

/// Returns the name of an alias if it is valid. The errors are those of AWS, which returns
/// `InvalidAliasNameException` only for a colon.
fn alias_name(name: Option<String>) -> Result<String, KmsError> {
    let name = required(name, "aliasName")?;
    check_length(&name, "aliasName", 1..=256)?;
    check_pattern(&name, "aliasName", "^[a-zA-Z0-9:/_-]+$", |character| {
        character.is_ascii_alphanumeric() || ":/_-".contains(character)
    })?;
    match name.strip_prefix(ALIAS_PREFIX) {
        None | Some("") => Err(KmsError::new(
            ErrorCode::Validation,
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )),
        Some(rest) if rest.starts_with("aws/") => Err(KmsError::new(
            ErrorCode::NotAuthorized,
            "Aliases that begin with alias/aws/ are reserved for AWS managed keys",
        )),
        Some(rest) if rest.contains(':') => {
            let message = format!("{name} contains invalid characters for an alias");
            Err(KmsError::new(ErrorCode::InvalidAliasName, message))
        }
        Some(_) => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::AliasListEntry;

    use super::*;
    use crate::kms::testing::{TestKms, error_code};

    async fn list(kms: &TestKms) -> Vec<AliasListEntry> {
        kms.client.list_aliases().send().await.unwrap().aliases.unwrap()
    }

    #[tokio::test]
    async fn a_key_is_found_by_every_identifier() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let create = kms.client.create_alias().alias_name("alias/ca/device");
        create.target_key_id(&id).send().await.unwrap();
        let listed = list(&kms).await.remove(0);
        assert_eq!(listed.target_key_id(), Some(id.as_str()));
        assert!(listed.creation_date().is_some() && listed.last_updated_date().is_some());
        let arn = "arn:aws:kms:eu-west-1:000000000000";
        assert_eq!(listed.alias_arn(), Some(format!("{arn}:alias/ca/device").as_str()));
        for name in [
            id.clone(),
            format!("{arn}:key/{id}"),
            "alias/ca/device".to_owned(),
            format!("{arn}:alias/ca/device"),
        ] {
            let response = kms.client.describe_key().key_id(name).send().await.unwrap();
            assert_eq!(response.key_metadata.unwrap().key_id, id);
        }
    }

    #[tokio::test]
    async fn an_alias_can_be_updated_and_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let (first, second) = (kms.create_key().await, kms.create_key().await);
        let (name, client) = ("alias/device", &kms.client);
        client.create_alias().alias_name(name).target_key_id(&first).send().await.unwrap();
        let again = client.create_alias().alias_name(name).target_key_id(&second).send().await;
        assert_eq!(error_code(again), "AlreadyExistsException");
        client.update_alias().alias_name(name).target_key_id(&second).send().await.unwrap();
        let of = |id: &str| client.list_aliases().key_id(id).send();
        assert_eq!(of(&first).await.unwrap().aliases().len(), 0);
        assert_eq!(of(&second).await.unwrap().aliases().len(), 1);
        client.delete_alias().alias_name(name).send().await.unwrap();
        assert!(list(&kms).await.is_empty());
        for outcome in [
            error_code(client.delete_alias().alias_name(name).send().await),
            error_code(client.update_alias().alias_name(name).target_key_id(&first).send().await),
            error_code(client.describe_key().key_id(name).send().await),
            error_code(of(KeyId::random().as_str()).await),
        ] {
            assert_eq!(outcome, "NotFoundException");
        }
    }

    #[tokio::test]
    async fn lists_in_pages() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        for number in 0..5 {
            let create = kms.client.create_alias().alias_name(format!("alias/{number}"));
            create.target_key_id(&id).send().await.unwrap();
        }
        let pages = kms.client.list_aliases().limit(2).into_paginator().items();
        let listed = pages.send().collect::<Result<Vec<_>, _>>().await.unwrap();
        let names: Vec<_> = listed.iter().map(|entry| entry.alias_name().unwrap()).collect();
        assert_eq!(names, ["alias/0", "alias/1", "alias/2", "alias/3", "alias/4"]);
        let first = kms.client.list_aliases().limit(2).send().await.unwrap();
        assert!(first.truncated && first.next_marker.is_some());
        assert_eq!(kms.refusal("ListAliases", r#"{"Limit":101}"#).await, "ValidationException");
        let marker = r#"{"Marker":"alias/0"}"#;
        assert_eq!(kms.refusal("ListAliases", marker).await, "InvalidMarkerException");
    }

    #[tokio::test]
    async fn rejects_invalid_targets() {
        let directory = tempfile::tempdir().unwrap();
        let kms = TestKms::start(directory.path()).await;
        let id = kms.create_key().await;
        let create = |target: &str| {
            kms.client.create_alias().alias_name("alias/new").target_key_id(target).send()
        };
        assert_eq!(error_code(create("alias/other").await), "ValidationException");
        assert_eq!(error_code(create(KeyId::random().as_str()).await), "NotFoundException");
        kms.client.schedule_key_deletion().key_id(&id).send().await.unwrap();
        assert_eq!(error_code(create(&id).await), "KMSInvalidStateException");
    }

    #[test]
    fn names_are_validated() {
        let refusal = |name: &str| match alias_name(Some(name.to_owned())) {
            Ok(_) => "",
            Err(error) => error.code.exception(),
        };
        for good in ["alias/a", "alias/A-z_0/9", "alias/awsome", &format!("alias/{:a<250}", "")] {
            assert_eq!(refusal(good), "", "{good}");
        }
        for bad in ["", "a", "alias/", "alias/ä", "alias/a b", &format!("alias/{:a<251}", "")] {
            assert_eq!(refusal(bad), "ValidationException", "{bad}");
        }
        assert_eq!(refusal("alias/aws/s3"), "NotAuthorizedException");
        assert_eq!(refusal("alias/a:b"), "InvalidAliasNameException");
    }
}
