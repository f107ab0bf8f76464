//! What keeps a function from starting: the very binaries end before they ask for work, with one line
//! in the log that names what is at fault.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use birthcert_cli::root::{Lock, NewRoot, Root, RootKey};
use birthcert_tests::counterparties::{Counterparties, Pair, binary};
use birthcert_tests::env::{Env, YEAR, subordinate};
use birthcert_tests::function::{self, Start};
use birthcert_tests::proxy::Fault;
use birthcert_tests::tool;
use ledger::store::Store;
use pki::authority::AuthorityRecord;
use pki::clock::Timestamp;
use pki::hex;
use pki::profile::Usage;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

pub(crate) fn tests() -> Vec<crate::Paired> {
    crate::paired![
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

const FUNCTIONS: [&str; 3] = ["crl", "enroll", "identity"];
const DAY: u64 = 24 * 60 * 60;

/// Changes to a function's environment; none is a variable that is not set.
type Changes<'a> = &'a [(&'static str, Option<OsString>)];

async fn start(env: &Env, function: &str, changes: Changes<'_>) -> anyhow::Result<Start> {
    let runtime_api = TcpListener::bind("127.0.0.1:0").await?;
    let mut environment = function::environment(env, runtime_api.local_addr()?);
    // A panic would show more of itself.
    environment.insert("RUST_BACKTRACE", "1".into());
    for (name, value) in changes {
        environment.remove(name);
        environment.extend(value.clone().map(|value| (*name, value)));
    }
    function::attempt(&binary(function)?, &environment, &runtime_api).await
}

async fn serves(env: &Env, function: &str, changes: Changes<'_>) -> anyhow::Result<String> {
    let start = start(env, function, changes).await?;
    ensure!(start.serves, "{function} with {changes:?}: {start:?}");
    Ok(start.output)
}

/// It ends by itself, and its one line has all of `words`.
async fn refuses(
    env: &Env,
    function: &str,
    changes: Changes<'_>,
    words: &[&str],
) -> anyhow::Result<()> {
    let start = start(env, function, changes).await?;
    let case = || format!("{function} with {changes:?}: {start:?}");
    ensure!(!start.serves && start.code == Some(1), "{}", case());
    ensure!(start.output.lines().count() == 1, "{}", case());
    let line: Value = serde_json::from_str(&start.output).with_context(case)?;
    ensure!(line["event"] == "unable" && line["level"] == "ERROR", "{}", case());
    let cause = line["cause"].as_str().with_context(case)?;
    for word in words {
        ensure!(cause.contains(word), "no {word:?} in {}", case());
    }
    Ok(())
}

async fn variables(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
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
                // It is read where a service has none of its own.
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
        // Empty is not set, and these need not be.
        for variable in ["AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"] {
            serves(&env, function, &[(variable, Some(OsString::new()))]).await?;
        }
        let bundle = tool::file(&format!("# The root\n{}", env.root_pem))?;
        let bundle = Some(bundle.path().into());
        serves(&env, function, &[("AWS_CA_BUNDLE", bundle)]).await?;
    }
    Ok(())
}

type Item = std::collections::HashMap<String, AttributeValue>;

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

async fn put(env: &Env, item: Item) -> anyhow::Result<()> {
    let put = env.config.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
    put.set_item(Some(item)).send().await?;
    Ok(())
}

async fn get(env: &Env, pk: &str, sk: &str) -> anyhow::Result<Item> {
    let get = env.config.aws.dynamodb()?.get_item().table_name(&env.config.table_name);
    let got = get.key("PK", text(pk)).key("SK", text(sk)).send().await?;
    got.item.context("no item")
}

/// The item with the record of the CA for devices.
async fn ca(env: &Env) -> anyhow::Result<Item> {
    get(env, "CA#device", "NAME#device").await
}

async fn the_record_of_the_ca(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let record = ca(&env).await?;
    let attributes = ["name", "key_arn", "certificate_pem", "root_pem", "created_at"];
    for attribute in attributes {
        let mut damaged = record.clone();
        damaged.remove(attribute);
        put(&env, damaged.clone()).await?;
        refuses(&env, "identity", &[], &["CA#device", "missing field", attribute]).await?;
        if attribute == "created_at" {
            // A key of the index: DynamoDB takes nothing but a number.
            continue;
        }
        damaged.insert(attribute.into(), AttributeValue::Bool(true));
        put(&env, damaged).await?;
        refuses(&env, "identity", &[], &["damaged item: CA#device NAME#device"]).await?;
    }
    let root = text(&env.root_pem);
    let root_again = text(&other_root(&env)?);
    let subordinate = record["certificate_pem"].clone();
    let pem = subordinate.as_s().ok().context("text")?.clone();
    let device = env.api.enrolled(&env.token).await?;
    let leaf = text(&env.api.released(&device).await?.device_certificate_pem);
    for (attribute, value, words) in [
        ("certificate_pem", text(""), "not PEM"),
        ("certificate_pem", text("{}"), "not PEM"),
        ("certificate_pem", text(&pem[..pem.len() / 2]), "not PEM"),
        ("certificate_pem", text(&pem.replace(" CERTIFICATE", " X509 CRL")), "of a X509 CRL"),
        ("certificate_pem", leaf, "not a CA's"),
        ("certificate_pem", root, "it has its root's name"),
        ("root_pem", text("x"), "the root: not PEM"),
        ("intermediates_pem", text("-----BEGIN X"), "a CA between: not PEM"),
        ("intermediates_pem", root_again, "it was not issued by its issuer"),
        ("root_pem", subordinate, "the root is not self-signed"),
    ] {
        let mut damaged = record.clone();
        damaged.insert(attribute.into(), value);
        put(&env, damaged).await?;
        refuses(&env, "identity", &[], &["issuing CA device: unusable: ", words]).await?;
    }
    let delete = env.config.aws.dynamodb()?.delete_item().table_name(&env.config.table_name);
    delete.key("PK", text("CA#device")).key("SK", text("NAME#device")).send().await?;
    refuses(&env, "identity", &[], &["issuing CA device: not set up"]).await?;
    // It has nothing to do with CAs.
    serves(&env, "enroll", &[]).await?;
    put(&env, record).await?;
    serves(&env, "identity", &[]).await.map(drop)
}

/// A root that has nothing to do with the environment's.
fn other_root(env: &Env) -> anyhow::Result<String> {
    let folder = env.scratch.path().join("other");
    let key = RootKey::make_file(&folder, Lock::Random("a passphrase"))?;
    let root = Root::create(&folder, key, &NewRoot::lasting("Other root"), Timestamp::now())?;
    Ok(root.certificate().pem().to_owned())
}

/// Puts `record` in the place of the one that is there.
async fn replace(env: &Env, record: &AuthorityRecord) -> anyhow::Result<()> {
    let mut item: Item = ca(env).await?;
    item.insert("key_arn".into(), text(&record.key_arn));
    item.insert("certificate_pem".into(), text(&record.certificate_pem));
    item.insert("root_pem".into(), text(&record.root_pem));
    put(env, item).await
}

async fn the_certificate_of_the_ca(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let now = Timestamp::now();
    // No CA is valid before its root is.
    let folder = env.scratch.path().join("old");
    let key = RootKey::make_file(&folder, Lock::Random("a passphrase"))?;
    let root = Root::create(&folder, key, &NewRoot::lasting("Test root"), now.minus(3 * DAY))?;
    let certified =
        |usage, now, seconds| subordinate(&env.config, &root, "device", usage, now, seconds);

    let expired = certified(Usage::Device, now.minus(2 * DAY), DAY).await?;
    replace(&env, &expired).await?;
    let end = now.minus(DAY).to_string();
    refuses(&env, "identity", &[], &["issuing CA device: its certificate expired at", &end])
        .await?;

    let future = certified(Usage::Device, now.plus(DAY), YEAR).await?;
    replace(&env, &future).await?;
    refuses(&env, "identity", &[], &["issuing CA device: its certificate is not valid before"])
        .await?;

    let server = certified(Usage::Server, now, YEAR).await?;
    replace(&env, &server).await?;
    refuses(&env, "identity", &[], &["issuing CA device: unusable: its extKeyUsage"]).await?;

    // Another root of the same name.
    let other = Env::start(counterparties, pair).await?;
    let mut mixed = certified(Usage::Device, now, YEAR).await?;
    replace(&env, &mixed).await?;
    serves(&env, "identity", &[]).await?;
    mixed.root_pem.clone_from(&other.root_pem);
    replace(&env, &mixed).await?;
    refuses(&env, "identity", &[], &["issuing CA device: unusable: it was not issued by its root"])
        .await
}

/// Who may write the table, and has no key of ours, puts a root of their own above the CA's key: nothing in
/// the record is wrong, but for what the deployment knows.
async fn the_root_of_the_ca(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let folder = env.scratch.path().join("theirs");
    let key = RootKey::make_file(&folder, Lock::Random("a passphrase"))?;
    let theirs = Root::create(&folder, key, &NewRoot::lasting("Test root"), Timestamp::now())?;
    let forged =
        subordinate(&env.config, &theirs, "device", Usage::Device, Timestamp::now(), YEAR).await?;
    let [ours, theirs] = [env.root()?, theirs].map(|root| {
        let digest = Sha256::digest(root.certificate().der());
        OsString::from(hex(&digest))
    });
    let known = |roots: &OsString| [("ROOT_SHA256", Some(roots.clone()))];
    let words = ["issuing CA device: unusable: its root is not one of those in ROOT_SHA256"];

    serves(&env, "identity", &known(&ours)).await?;
    refuses(&env, "identity", &known(&theirs), &words).await?;
    replace(&env, &forged).await?;
    refuses(&env, "identity", &known(&ours), &words).await?;
    // While one root takes the place of another, both are known. Before the ceremony, none is.
    let both = [ours, theirs].join(OsStr::new(","));
    for roots in [both, "none".into(), OsString::new()] {
        serves(&env, "identity", &known(&roots)).await?;
    }
    Ok(())
}

async fn the_key_of_the_ca(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let kms = env.config.aws.kms()?;
    let right = env.store.authority("device").await?.context("it is there")?;
    let server = env.store.authority("server").await?.context("it is there")?;
    let with_key = |key_arn: &str| AuthorityRecord { key_arn: key_arn.into(), ..right.clone() };

    let parent = right.key_arn.rsplit_once('/').context("an ARN")?.0;
    let nobodys = format!("{parent}/00000000-0000-4000-8000-000000000000");
    for key_arn in ["device", "arn:aws:kms", &format!("{parent}/"), &nobodys] {
        replace(&env, &with_key(key_arn)).await?;
        let key = format!("issuing CA device: its key {key_arn} cannot be used: KMS refuses");
        refuses(&env, "identity", &[], &[&key]).await?;
    }
    let other = "issuing CA device: the key in KMS is not the one in its certificate";
    replace(&env, &with_key(&server.key_arn)).await?;
    refuses(&env, "identity", &[], &[other, &server.key_arn]).await?;
    for (spec, words) in [
        (KeySpec::EccNistP384, other),
        (KeySpec::Rsa2048, other),
        (KeySpec::SymmetricDefault, "cannot be used: KMS refuses"),
    ] {
        let usage = match spec {
            KeySpec::SymmetricDefault => KeyUsageType::EncryptDecrypt,
            _ => KeyUsageType::SignVerify,
        };
        let made = kms.create_key().key_spec(spec).key_usage(usage).send().await;
        // The stand-in for KMS has no others than P-256 to offer.
        ensure!(made.is_ok() == (pair == Pair::Ministack), "{made:?}");
        let Some(metadata) = made.ok().and_then(|made| made.key_metadata) else { continue };
        let key_arn = metadata.arn.context("an ARN")?;
        replace(&env, &with_key(&key_arn)).await?;
        refuses(&env, "identity", &[], &["issuing CA device: ", words, &key_arn]).await?;
    }

    replace(&env, &right).await?;
    let key = format!("issuing CA device: its key {} cannot be used: KMS refuses", right.key_arn);
    kms.disable_key().key_id(&right.key_arn).send().await?;
    refuses(&env, "identity", &[], &[&key, "is disabled"]).await?;
    kms.schedule_key_deletion().key_id(&right.key_arn).send().await?;
    refuses(&env, "identity", &[], &[&key, "is pending deletion"]).await?;
    kms.cancel_key_deletion().key_id(&right.key_arn).send().await?;
    kms.enable_key().key_id(&right.key_arn).send().await?;
    serves(&env, "identity", &[]).await.map(drop)
}

async fn the_table(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
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
            let words = format!("DynamoDB refuses: table {table}: ");
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
    let words = format!("DynamoDB refuses: table {no_index}: ");
    refuses(&env, "identity", &change, &[&words, "index"]).await
}

async fn the_bucket(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    for value in [None, Some(OsString::new())] {
        refuses(&env, "crl", &[("BUCKET_NAME", value)], &["BUCKET_NAME", "is not set"]).await?;
    }
    // Of a HEAD's answer there is no more to tell an object that is missing from a bucket that is.
    serves(&env, "crl", &[("BUCKET_NAME", Some("no-such-bucket".into()))]).await?;
    env.s3.fail("HeadObject", Fault::Refused);
    let bucket = env.config.bucket_name()?;
    refuses(&env, "crl", &[], &["S3 refuses: ca/index.json in bucket", bucket]).await?;
    env.s3.mend();
    env.s3.fail("HeadObject", Fault::Away);
    let said = serves(&env, "crl", &[]).await?;
    env.s3.mend();
    ensure!(said.contains("\"delayed\"") && said.contains("S3 is unavailable"), "{said}");
    Ok(())
}

async fn credentials(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let code = "UnrecognizedClientException";
    let table = format!("DynamoDB refuses: table {}: ", env.config.table_name);
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
    // What stops it is all that it says, though KMS is away as well.
    env.kms.fail("GetPublicKey", Fault::Away);
    env.dynamodb.fail("Query", Fault::Refused);
    refuses(&env, "identity", &[], &[code]).await?;
    env.kms.mend();
    env.dynamodb.mend();
    if pair == Pair::DynamoDbLocal {
        // The one emulator that looks at credentials: it takes letters and digits.
        let unknown = [("AWS_ACCESS_KEY_ID", Some("not-known".into()))];
        for function in FUNCTIONS {
            refuses(&env, function, &unknown, &[code, &table]).await?;
        }
    }
    Ok(())
}

async fn a_damaged_project_stops_nobody_else(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let name = format!("PROJECT#{}", env.project);
    let mut project = get(&env, &name, "META").await?;
    project.remove("policy");
    put(&env, project).await?;
    let said = serves(&env, "identity", &[]).await?;
    let line: Value = serde_json::from_str(&said).context(said)?;
    ensure!(line["event"] == "delayed", "{line}");
    ensure!(line["cause"].as_str().is_some_and(|cause| cause.contains(&name)), "{line}");
    Ok(())
}
