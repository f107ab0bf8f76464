//! Items of the table, read and written without the store.

use std::collections::HashMap;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::env::Env;

/// DynamoDB's limit for an item, in bytes.
const LIMIT: usize = 400 * 1024;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Returns a value of an enumeration in a form that serde reads, too.
pub(crate) fn of_another_form(variant: &str) -> AttributeValue {
    AttributeValue::M([(variant.to_owned(), AttributeValue::Null(true))].into())
}

pub(crate) async fn put(env: &Env, item: Item) -> anyhow::Result<()> {
    let put = env.direct.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
    put.set_item(Some(item)).send().await?;
    Ok(())
}

pub(crate) async fn get(env: &Env, pk: &str, sk: &str) -> anyhow::Result<Item> {
    let get = env.direct.aws.dynamodb()?.get_item().table_name(&env.config.table_name);
    let got = get.key("PK", text(pk)).key("SK", text(sk)).consistent_read(true).send().await?;
    got.item.context("no item")
}

/// Returns an attribute of an item.
pub(crate) async fn attribute(
    env: &Env,
    (pk, sk): (&str, &str),
    name: &str,
) -> anyhow::Result<Option<AttributeValue>> {
    Ok(get(env, pk, sk).await?.remove(name))
}

/// Sets an attribute of an item, or removes it. Creates the item if there is none.
pub(crate) async fn set(
    env: &Env,
    (pk, sk): (&str, &str),
    name: &str,
    value: Option<AttributeValue>,
) -> anyhow::Result<()> {
    let update = env.direct.aws.dynamodb()?.update_item().table_name(&env.config.table_name);
    let update = update.key("PK", text(pk)).key("SK", text(sk));
    let update = update.expression_attribute_names("#attribute", name);
    match value {
        None => update.update_expression("REMOVE #attribute"),
        Some(value) => update
            .update_expression("SET #attribute = :value")
            .expression_attribute_values(":value", value),
    }
    .send()
    .await?;
    Ok(())
}

/// Fills an item with padding up to DynamoDB's limit, so that nothing can be added to it.
pub(crate) async fn fill(env: &Env, key: (&str, &str)) -> anyhow::Result<()> {
    let (mut fits, mut exceeds) = (LIMIT - 16 * 1024, LIMIT);
    let pad = async |size| set(env, key, "padding", Some(text(&"x".repeat(size)))).await;
    pad(fits).await?;
    while exceeds - fits > 1 {
        let middle = usize::midpoint(fits, exceeds);
        match pad(middle).await {
            Ok(()) => fits = middle,
            Err(_) => exceeds = middle,
        }
    }
    Ok(())
}
