//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::{collections::BTreeMap, io};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{
    address::{ALIAS_PREFIX, Address, KeyId},
    disk::Directory,
    fault::{Code, Fault},
    page::Limits,
    service::{Holdings, Service, now},
    wire::{made_of, required, text_length},
};

const FILE: &str = "aliases.json";
const LIMITS: Limits = Limits { most: 100, default: 50 };

/// Another name of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    pub(super) target: KeyId,
    created: u64,
    updated: u64,
}

/// All aliases, from the disk.
pub(super) fn load(directory: &Directory) -> anyhow::Result<BTreeMap<String, Alias>> {
    match directory.read(FILE) {
        Ok(json) => serde_json::from_str(&json).with_context(|| format!("{FILE} is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
    }
}

/// CreateAlias and UpdateAlias.
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

impl Service {
    pub(super) fn create_alias(&self, request: SetAliasRequest) -> Result<(), Fault> {
        let name = alias_name(request.alias_name)?;
        let mut holdings = self.write()?;
        let target = self.target(&holdings, request.target_key_id)?;
        if holdings.aliases.contains_key(&name) {
            let arn = self.arns.of_alias(&name);
            let message = format!("An alias with the name {arn} already exists");
            return Err(Fault::new(Code::AlreadyExists, message));
        }
        let at = now();
        let alias = Alias { target, created: at, updated: at };
        self.change(&mut holdings, |aliases| aliases.insert(name, alias))
    }

    pub(super) fn update_alias(&self, request: SetAliasRequest) -> Result<(), Fault> {
        let name = alias_name(request.alias_name)?;
        let mut holdings = self.write()?;
        let target = self.target(&holdings, request.target_key_id)?;
        let present = holdings.aliases.get(&name).ok_or_else(|| self.no_alias(&name))?;
        let alias = Alias { target, created: present.created, updated: now() };
        self.change(&mut holdings, |aliases| aliases.insert(name, alias))
    }

    pub(super) fn delete_alias(&self, request: DeleteAliasRequest) -> Result<(), Fault> {
        let name = alias_name(request.alias_name)?;
        let mut holdings = self.write()?;
        if !holdings.aliases.contains_key(&name) {
            return Err(self.no_alias(&name));
        }
        self.change(&mut holdings, |aliases| aliases.remove(&name))
    }

    pub(super) fn list_aliases(
        &self,
        request: ListAliasesRequest,
    ) -> Result<ListAliasesResponse, Fault> {
        let holdings = self.read()?;
        let of = request.key_id.map(|text| self.arns.key(&text)).transpose()?;
        if let Some(id) = of.as_ref().filter(|id| !holdings.keys.contains_key(id)) {
            return Err(self.no_key(id));
        }
        let entries = holdings
            .aliases
            .iter()
            .filter(|(_, alias)| of.as_ref().is_none_or(|id| alias.target == *id))
            .map(|(name, alias)| (name.as_str(), self.entry(name, alias)));
        let page = LIMITS.page(entries, request.limit, request.marker.as_deref())?;
        Ok(ListAliasesResponse {
            aliases: page.items,
            truncated: page.next_marker.is_some(),
            next_marker: page.next_marker,
        })
    }

    fn entry(&self, name: &str, alias: &Alias) -> AliasListEntry {
        AliasListEntry {
            alias_name: name.to_owned(),
            alias_arn: self.arns.of_alias(name),
            target_key_id: alias.target.as_str().to_owned(),
            creation_date: alias.created,
            last_updated_date: alias.updated,
        }
    }

    /// The key that an alias may be of.
    fn target(&self, holdings: &Holdings, text: Option<String>) -> Result<KeyId, Fault> {
        let Address::Key(id) = self.arns.address(&required(text, "targetKeyId")?)? else {
            let message = "Aliases must refer to keys. Not aliases";
            return Err(Fault::new(Code::Validation, message));
        };
        let key = holdings.keys.get(&id).ok_or_else(|| self.no_key(&id))?;
        key.record.state.not_pending_deletion(&self.arns.of_key(&id))?;
        Ok(id)
    }

    /// Changes the aliases, on the disk first.
    fn change<T>(
        &self,
        holdings: &mut Holdings,
        change: impl FnOnce(&mut BTreeMap<String, Alias>) -> T,
    ) -> Result<(), Fault> {
        let mut aliases = holdings.aliases.clone();
        change(&mut aliases);
        self.directory.write(FILE, &serde_json::to_vec_pretty(&aliases)?)?;
        holdings.aliases = aliases;
        Ok(())
    }
}

/// A name that an alias may have. The faults are AWS's for each: of all that can be wrong with a
/// name, it has `InvalidAliasNameException` only for the colon.
fn alias_name(name: Option<String>) -> Result<String, Fault> {
    let name = required(name, "aliasName")?;
    text_length(&name, "aliasName", 1..=256)?;
    made_of(&name, "aliasName", "^[a-zA-Z0-9:/_-]+$", |character| {
        character.is_ascii_alphanumeric() || ":/_-".contains(character)
    })?;
    match name.strip_prefix(ALIAS_PREFIX) {
        None | Some("") => Err(Fault::new(
            Code::Validation,
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )),
        Some(rest) if rest.starts_with("aws/") => Err(Fault::new(
            Code::NotAuthorized,
            "Aliases that begin with alias/aws/ are reserved for AWS managed keys",
        )),
        Some(rest) if rest.contains(':') => {
            let message = format!("{name} contains invalid characters for an alias");
            Err(Fault::new(Code::InvalidAliasName, message))
        }
        Some(_) => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::AliasListEntry;

    use super::*;
    use crate::kms::testing::{Kms, code};

    async fn list(kms: &Kms) -> Vec<AliasListEntry> {
        kms.client.list_aliases().send().await.unwrap().aliases.unwrap()
    }

    #[tokio::test]
    async fn a_key_answers_to_all_its_names() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
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
            let answer = kms.client.describe_key().key_id(name).send().await.unwrap();
            assert_eq!(answer.key_metadata.unwrap().key_id, id);
        }
    }

    #[tokio::test]
    async fn points_elsewhere_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let (first, second) = (kms.create_key().await, kms.create_key().await);
        let (name, client) = ("alias/device", &kms.client);
        client.create_alias().alias_name(name).target_key_id(&first).send().await.unwrap();
        let again = client.create_alias().alias_name(name).target_key_id(&second).send().await;
        assert_eq!(code(again), "AlreadyExistsException");
        client.update_alias().alias_name(name).target_key_id(&second).send().await.unwrap();
        let of = |id: &str| client.list_aliases().key_id(id).send();
        assert_eq!(of(&first).await.unwrap().aliases().len(), 0);
        assert_eq!(of(&second).await.unwrap().aliases().len(), 1);
        client.delete_alias().alias_name(name).send().await.unwrap();
        assert!(list(&kms).await.is_empty());
        for outcome in [
            code(client.delete_alias().alias_name(name).send().await),
            code(client.update_alias().alias_name(name).target_key_id(&first).send().await),
            code(client.describe_key().key_id(name).send().await),
            code(of(KeyId::random().as_str()).await),
        ] {
            assert_eq!(outcome, "NotFoundException");
        }
    }

    #[tokio::test]
    async fn comes_in_pages() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
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
    async fn refuses_bad_targets() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let id = kms.create_key().await;
        let create = |target: &str| {
            kms.client.create_alias().alias_name("alias/new").target_key_id(target).send()
        };
        assert_eq!(code(create("alias/other").await), "ValidationException");
        assert_eq!(code(create(KeyId::random().as_str()).await), "NotFoundException");
        kms.client.schedule_key_deletion().key_id(&id).send().await.unwrap();
        assert_eq!(code(create(&id).await), "KMSInvalidStateException");
    }

    #[test]
    fn names_are_held_to_their_rules() {
        let refusal = |name: &str| match alias_name(Some(name.to_owned())) {
            Ok(_) => "",
            Err(fault) => fault.code.exception(),
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
