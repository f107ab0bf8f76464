//! Failing starts: the shipped binaries exit before they ask for work, with one log line that names
//! the fault.

mod attempt;
mod authority;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::Env;
use birthcert_tests::process::tool;
use ledger::store::Store;
use pki::clock::Timestamp;
use serde_json::Value;

use crate::items::{get, put};
use attempt::{FUNCTIONS, refuses, serves};
use authority::{
    the_certificate_of_the_ca, the_key_of_the_ca, the_record_of_the_ca, the_root_of_the_ca,
};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        variables,
        the_record_of_the_ca,
        the_certificate_of_the_ca,
        the_root_of_the_ca,
        the_key_of_the_ca,
        the_table,
        the_bucket,
        credentials,
        a_damaged_project_stops_nobody_else,
    ]
}

async fn variables(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let no_pem = tool::file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?;
    let empty = tool::file("")?;
    let (no_pem, empty) = (no_pem.path().to_str().unwrap(), empty.path().to_str().unwrap());
    let required = [
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_RUNTIME_API",
        "TABLE_NAME",
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ];
    let optional = [
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_S3",
        "BUCKET_NAME",
        "ROOT_SHA256",
        "AWS_CA_BUNDLE",
    ];
    let malformed = [
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "plenty"),
        ("AWS_LAMBDA_RUNTIME_API", "no host"),
        ("TABLE_NAME", "two words"),
        ("TABLE_NAME", "ab"),
        ("AWS_REGION", "EU (Frankfurt)"),
        ("AWS_ACCESS_KEY_ID", "an/id"),
        ("AWS_SECRET_ACCESS_KEY", "not a secret\n"),
        ("AWS_SESSION_TOKEN", "not a token\n"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1:8000"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://"),
        ("AWS_ENDPOINT_URL_KMS", "ftp://127.0.0.1"),
        ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:99999"),
        ("AWS_ENDPOINT_URL_S3", "s3://bucket"),
        ("BUCKET_NAME", "My bucket"),
        ("BUCKET_NAME", "no"),
        ("ROOT_SHA256", "any"),
        ("AWS_CA_BUNDLE", "/nonexistent"),
        ("AWS_CA_BUNDLE", "/"),
        ("AWS_CA_BUNDLE", no_pem),
        ("AWS_CA_BUNDLE", empty),
    ];
    let not_utf8 = || Some(OsString::from_vec(vec![b'x', 0xff]));
    for function in FUNCTIONS {
        serves(&env, function, &[]).await?;
        for variable in required {
            for value in [None, Some(OsString::new())] {
                refuses(&env, function, &[(variable, value)], &[variable, "is not set"]).await?;
            }
        }
        for variable in required.into_iter().chain(optional) {
            let mut changes = vec![(variable, not_utf8())];
            if variable == "AWS_ENDPOINT_URL" {
                // Used for services without an endpoint of their own.
                changes.push(("AWS_ENDPOINT_URL_KMS", None));
            }
            refuses(&env, function, &changes, &[variable, "is not UTF-8"]).await?;
        }
        for (variable, value) in malformed {
            refuses(&env, function, &[(variable, Some(value.into()))], &[variable]).await?;
        }
        let one_for_all =
            [("AWS_ENDPOINT_URL", Some("nowhere".into())), ("AWS_ENDPOINT_URL_KMS", None)];
        refuses(&env, function, &one_for_all, &["variable AWS_ENDPOINT_URL is no"]).await?;
        // An empty variable counts as unset, and these are optional.
        for variable in ["AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"] {
            serves(&env, function, &[(variable, Some(OsString::new()))]).await?;
        }
        let bundle = tool::file(&format!("# The root\n{}", env.root_pem))?;
        let bundle = Some(bundle.path().into());
        serves(&env, function, &[("AWS_CA_BUNDLE", bundle)]).await?;
    }
    Ok(())
}

async fn the_table(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let dynamodb = env.config.aws.dynamodb()?;
    let named = |kind: &str| format!("{}-{kind}", env.config.table_name);
    let create = async |table: &str, keys: &[(&str, KeyType)]| {
        let mut request = dynamodb.create_table().table_name(table);
        for (name, kind) in keys {
            let definition = AttributeDefinition::builder().attribute_name(*name);
            let definition = definition.attribute_type(ScalarAttributeType::S).build()?;
            let schema = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone());
            request = request.attribute_definitions(definition).key_schema(schema.build()?);
        }
        request.billing_mode(BillingMode::PayPerRequest).send().await?;
        anyhow::Ok(())
    };
    let other_keys = named("other-keys");
    create(&other_keys, &[("id", KeyType::Hash)]).await?;
    for function in FUNCTIONS {
        for table in [named("missing"), other_keys.clone()] {
            let words = format!("DynamoDB refused the request: table {table}: ");
            refuses(&env, function, &[("TABLE_NAME", Some(table.into()))], &[&words]).await?;
        }
    }

    let no_index = named("no-index");
    create(&no_index, &[("PK", KeyType::Hash), ("SK", KeyType::Range)]).await?;
    let change = [("TABLE_NAME", Some(OsString::from(&no_index)))];
    serves(&env, "enroll", &change).await?;
    let record = env.store.authority("device").await?.context("it is there")?;
    let store = Store::new(dynamodb.clone(), &no_index);
    store.prepare_authority(&record).await?;
    store.activate_authority(&record.name, None, Timestamp::now()).await?;
    let words = format!("DynamoDB refused the request: table {no_index}: ");
    refuses(&env, "identity", &change, &[&words, "index"]).await
}

async fn the_bucket(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for value in [None, Some(OsString::new())] {
        refuses(&env, "crl", &[("BUCKET_NAME", value)], &["BUCKET_NAME", "is not set"]).await?;
    }
    // A HEAD response does not tell a missing object from a missing bucket.
    serves(&env, "crl", &[("BUCKET_NAME", Some("no-such-bucket".into()))]).await?;
    env.s3.fail("HeadObject", Fault::Refused);
    let bucket = env.config.bucket_name()?;
    refuses(&env, "crl", &[], &["S3 refused the request: ca/index.json in bucket", bucket]).await?;
    env.s3.mend();
    env.s3.fail("HeadObject", Fault::Away);
    let said = serves(&env, "crl", &[]).await?;
    env.s3.mend();
    ensure!(said.contains("\"start_degraded\"") && said.contains("S3 is unavailable"), "{said}");
    Ok(())
}

async fn credentials(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let code = "UnrecognizedClientException";
    let table = format!("DynamoDB refused the request: table {}: ", env.config.table_name);
    let key = env.store.authority("device").await?.context("it is there")?.key_arn;
    for (proxy, operation, functions, service) in [
        (&env.dynamodb, "GetItem", &["enroll"][..], table.as_str()),
        (&env.dynamodb, "Query", &["crl", "identity"], &table),
        (&env.kms, "GetPublicKey", &["identity"], &key),
        (&env.kms, "Sign", &["identity"], &key),
    ] {
        proxy.fail(operation, Fault::Refused);
        for function in functions {
            refuses(&env, function, &[], &[code, service]).await?;
        }
        proxy.mend();
    }
    // The fault that stops the start is the only one reported, although KMS is unavailable as well.
    env.kms.fail("GetPublicKey", Fault::Away);
    env.dynamodb.fail("Query", Fault::Refused);
    refuses(&env, "identity", &[], &[code]).await?;
    env.kms.mend();
    env.dynamodb.mend();
    if backend == Backend::DynamoDbLocal {
        // The only emulator that checks credentials: it accepts letters and digits.
        let unknown = [("AWS_ACCESS_KEY_ID", Some("not-known".into()))];
        for function in FUNCTIONS {
            refuses(&env, function, &unknown, &[code, &table]).await?;
        }
    }
    Ok(())
}

async fn a_damaged_project_stops_nobody_else(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let name = format!("PROJECT#{}", env.project);
    let mut project = get(&env, &name, "META").await?;
    project.remove("policy");
    put(&env, project).await?;
    let said = serves(&env, "identity", &[]).await?;
    let line: Value = serde_json::from_str(&said).context(said)?;
    ensure!(line["event"] == "start_degraded", "{line}");
    ensure!(line["cause"].as_str().is_some_and(|cause| cause.contains(&name)), "{line}");
    Ok(())
}
