//! Items of the table, read and written without the store.

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::env::Env;

pub(super) type Item = std::collections::HashMap<String, AttributeValue>;

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) async fn put(env: &Env, item: Item) -> anyhow::Result<()> {
    let put = env.config.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
    put.set_item(Some(item)).send().await?;
    Ok(())
}

pub(super) async fn get(env: &Env, pk: &str, sk: &str) -> anyhow::Result<Item> {
    let get = env.config.aws.dynamodb()?.get_item().table_name(&env.config.table_name);
    let got = get.key("PK", text(pk)).key("SK", text(sk)).send().await?;
    got.item.context("no item")
}
