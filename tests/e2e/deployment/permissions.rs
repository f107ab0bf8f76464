//! The functions' roles in template.yaml allow exactly what the functions do.
//!
//! Each test drives a function through everything that it can do and records its calls on the wire.
//! The policies of its role and of the keys are checked against these. A new function needs an
//! entry in [`FUNCTIONS`] and a driver.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::aws::cloudformation::DeployedStack;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::iam::access::{Access, Keys};
use birthcert_tests::aws::iam::role::{Role, own_statements, used_by};
use birthcert_tests::aws::iam::{self, Effect, Statement};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::aws::template;
use birthcert_tests::env::{Env, Setup, YEAR};
use crl::Publisher;
use enroll::Enroll;
use futures_util::future::LocalBoxFuture;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use identity::Identity;
use lambda::runtime::Runtime;
use lambda::stream::Trigger;
use ledger::store::{Policy, PolicyTerms, Store};
use pki::clock::Timestamp;
use pki::key::{KeyKind, KeyKinds};
use pki::names::{DeviceId, ProjectId, TokenId};
use pki::token::{DeviceToken, EnrollmentToken};
use serde_json::{Value, json};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![each_function_may_do_what_it_does_and_nothing_else]
}

pub(crate) fn standalone_tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        every_function_has_one_role_and_the_role_one_policy,
        aws_decrypts_with_every_role,
        lambda_follows_the_stream_with_the_role,
        nobody_signs_by_iam,
    ]
}

const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };

/// A function, by its names in template.yaml, and the driver that exercises all of it.
struct Function {
    id: &'static str,
    role: &'static str,
    drive: for<'a> fn(&'a Env) -> LocalBoxFuture<'a, anyhow::Result<()>>,
}

const FUNCTIONS: [Function; 3] = [
    Function { id: "CrlFunction", role: "CrlRole", drive: |env| Box::pin(crl(env)) },
    Function { id: "EnrollFunction", role: "EnrollRole", drive: |env| Box::pin(enroll(env)) },
    Function { id: "IdentityFunction", role: "IdentityRole", drive: |env| Box::pin(identity(env)) },
];

/// The CAs, and their keys in template.yaml.
const KEYS: [(&str, &str); 4] = [
    ("device", "DeviceKey"),
    ("device-2", "DeviceKey2"),
    ("server", "ServerKey"),
    ("server-2", "ServerKey2"),
];

async fn crl(env: &Env) -> anyhow::Result<()> {
    // Not this function's work: a CA with an operator's own key.
    for name in ["service", "service-2"] {
        env.store.prepare_authority(&env.certified(name, YEAR).await?).await?;
    }
    env.dynamodb.take();
    env.kms.take();

    let crl = Publisher::start(&env.config, QUIET).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    env.dynamodb.take();
    // Once with something to publish, and once without.
    crl.publish_due(&Trigger::Schedule).await?;
    let nothing = env.dynamodb.index_answers();
    crl.publish_due(&Trigger::Schedule).await?;

    // What is published, and not in the index yet. The revocations are an operator's work.
    let now = Timestamp::now();
    let text = |text: &str| AttributeValue::S(text.into());
    let number = |number: u64| AttributeValue::N(number.to_string());
    for (partition, sort_key, ca) in [
        ("LEDGER#device", "CERT#40", "device"),
        ("SERVER#broker", "CERT#41", "server"),
        (&format!("DENIED#{}", DeviceId::generate(&mut UnwrapErr(SysRng))), "META", "DENIED"),
    ] {
        let put = env.direct.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
        put.item("PK", text(partition))
            .item("SK", text(sort_key))
            .item("serial_number", text(sort_key.trim_start_matches("CERT#")))
            .item("ca", text(ca))
            .item("revoked_at", number(now.unix()))
            .item("not_after", number(now.plus(YEAR).unix()))
            .send()
            .await?;
    }
    crl.publish_due(&Trigger::Schedule).await?;
    env.dynamodb.lag(&nothing);
    crl.publish_due(&Trigger::Schedule).await?;
    env.dynamodb.mend();
    Ok(())
}

async fn enroll(env: &Env) -> anyhow::Result<()> {
    let rng = &mut UnwrapErr(SysRng);
    Enroll::start(&env.config, QUIET).await?;
    env.api.enrolled(&env.token).await?;
    let unknown = [
        EnrollmentToken::generate(env.project, TokenId::generate(rng), rng),
        EnrollmentToken::generate(ProjectId::generate(rng), env.token.subject(), rng),
        EnrollmentToken::generate(env.project, env.token.subject(), rng),
    ];
    for token in unknown {
        let refused = env.api.enroll(&token.expose()).await?;
        refused.problem(401, "invalid-enrollment-token", &[])?;
    }
    // A use that is given back.
    env.dynamodb.fail("PutItem", Fault::Throttled);
    env.api.enroll(&env.token.expose()).await?.problem(503, "busy", &[])?;
    env.dynamodb.mend();
    Ok(())
}

async fn identity(env: &Env) -> anyhow::Result<()> {
    let rng = &mut UnwrapErr(SysRng);
    // Not this function's work.
    let device = env.api.enrolled(&env.token).await?;
    env.dynamodb.take();

    Identity::start(&env.config, QUIET).await?;
    // A first identity, and one that supersedes it.
    env.api.released(&device).await?;
    env.api.released(&device).await?;
    // A certificate for the device's own key.
    env.api.certified(&device, include_str!("../../fixtures/csr/p384.pem")).await?;
    // A key that the project's policy does not allow.
    let csr = include_str!("../../fixtures/csr/ed25519.pem");
    env.api.certify(&device, csr).await?.problem(403, "key-kind-not-allowed", &[])?;
    // An issuance that is withdrawn.
    env.kms.fail("Sign", Fault::WrongSignature);
    let failed = env.api.identity(&device.device_token).await?;
    failed.problem(500, "internal-error", &[])?;
    env.kms.mend();
    env.api.released(&device).await?;
    // The last device of a project that this function has not loaded.
    let unknown = [
        DeviceToken::generate(env.project, device.device_id, rng),
        DeviceToken::generate(env.project, DeviceId::generate(rng), rng),
        DeviceToken::generate(ProjectId::generate(rng), device.device_id, rng),
    ];
    for token in unknown {
        let refused = env.api.identity(&token.expose()).await?;
        refused.problem(401, "invalid-device-token", &[])?;
    }
    // The next generation; switching is an operator's work.
    let operators = Store::new(env.direct.aws.dynamodb()?, &env.direct.table_name);
    let (first, second) = ("device".parse()?, "device-2".parse()?);
    operators.activate_authority(&second, Some(&first), Timestamp::now()).await?;
    Identity::start(&env.config, QUIET).await.map(drop)?;
    Ok(())
}

async fn each_function_may_do_what_it_does_and_nothing_else(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    for function in &FUNCTIONS {
        let terms = PolicyTerms::from(Policy::default());
        let key_kinds = KeyKinds::only(KeyKind::P384);
        let policy = PolicyTerms { key_kinds, ..terms }.try_into()?;
        let setup = Setup { policy, ..Setup::default() };
        let env = Env::with(emulators, backend, setup).await?;
        for name in ["device-2", "server-2"] {
            env.store.prepare_authority(&env.certified(name, YEAR).await?).await?;
        }
        let parameters = BTreeMap::from([
            ("TableName".into(), env.config.table_name.clone()),
            ("DeviceKeys".into(), "2".into()),
            ("ServerKeys".into(), "2".into()),
        ]);
        let mut template = template::ours(parameters)?;
        template.physical_ids.insert("Bucket".into(), env.config.bucket_name()?.to_owned());
        let keys = keys(&env, &template).await?;
        let role = Role::of(&template, function.role, function.id)?;

        (function.drive)(&env).await.context(function.id)?;
        let mut accesses = BTreeSet::new();
        for call in env.dynamodb.take() {
            accesses.extend(Access::of_dynamodb(&call).with_context(|| format!("{call:?}"))?);
        }
        for call in env.kms.take() {
            let access = Access::of_kms(&call, &keys)?;
            // Operators own the key of the CA for services, and its policy.
            let is_ours = keys.values().any(|key| *key == access.resource);
            ensure!(is_ours || function.id == "CrlFunction", "another key: {access:?}");
            accesses.extend(is_ours.then_some(access));
        }
        for call in env.s3.take() {
            accesses.extend(Access::of_s3(&call)?);
        }
        let own: Vec<_> = accesses.iter().map(|it| role.used_by_function(it.clone())).collect();
        let findings = iam::findings(&role.statements, &own);
        ensure!(findings.is_empty(), "{}:\n{}", function.role, findings.join("\n"));
        let another = "arn:aws:lambda:us-east-1:000000000000:function:another";
        for access in accesses.into_iter().map(|it| used_by(it, another)) {
            let stolen = iam::allows(&role.statements, &access);
            ensure!(!stolen, "{} lends itself to other functions: {access:?}", function.role);
        }
    }
    Ok(())
}

/// Maps the emulator's keys to their names in the template.
async fn keys(env: &Env, template: &DeployedStack) -> anyhow::Result<Keys> {
    let mut keys = Keys::new();
    for (name, id) in KEYS {
        let record = env.store.authority(name).await?.context("it is there")?;
        keys.insert(record.key_arn, template.arn(id)?);
    }
    // These calls are the test's own.
    env.dynamodb.take();
    Ok(keys)
}

async fn every_function_has_one_role_and_the_role_one_policy() -> anyhow::Result<()> {
    let template = template::ours(BTreeMap::new())?;
    let ids = BTreeSet::from(FUNCTIONS.map(|function| function.id));
    let functions = template.of_type("AWS::Serverless::Function")?;
    ensure!(BTreeSet::from_iter(functions) == ids, "a function that no driver is for");
    let roles = BTreeSet::from(FUNCTIONS.map(|function| function.role));
    ensure!(roles.len() == FUNCTIONS.len(), "a role that two functions have");
    ensure!(BTreeSet::from_iter(template.of_type("AWS::IAM::Role")?) == roles, "more roles");
    for kind in [
        "AWS::IAM::GroupPolicy",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::RolePolicy",
        "AWS::IAM::UserPolicy",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
    ] {
        ensure!(template.of_type(kind)?.is_empty(), "{kind} is not looked at here");
    }

    for Function { id, role, .. } in &FUNCTIONS {
        let function = template.properties(id)?;
        ensure!(function["Role"] == template.arn(role)?, "{id} has another role");
        // SAM would create a role from them, or add them to it.
        for other in ["Policies", "AssumeRolePolicyDocument", "PermissionsBoundary"] {
            ensure!(function[other].is_null(), "{id} has {other}");
        }
        let properties = template.properties(role)?;
        for name in properties.as_object().context("properties")?.keys() {
            let known = ["AssumeRolePolicyDocument", "Description", "Policies"];
            ensure!(known.contains(&name.as_str()), "{role} has {name}");
        }
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "lambda.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }] });
        ensure!(properties["AssumeRolePolicyDocument"] == trust, "{role} trusts others");

        let logs = function["LoggingConfig"]["LogGroup"].as_str().context("a log group")?;
        let logs = format!("arn:aws:logs:us-east-1:000000000000:log-group:{logs}:*");
        for statement in own_statements(&template, role)? {
            let is_log = statement.actions.iter().any(|action| action.starts_with("logs:"));
            ensure!(!is_log || statement.resources == [logs.as_str()], "{role}: {statement:?}");
        }
    }
    Ok(())
}

/// Before a function starts, Lambda decrypts its environment with a grant to the role.
/// `lambda:SourceFunctionArn` is absent then, so a role that denies its absence starts no function.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html>
async fn aws_decrypts_with_every_role() -> anyhow::Result<()> {
    let template = template::ours(BTreeMap::new())?;
    let grant = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*" },
    ] });
    for Function { role, .. } in &FUNCTIONS {
        let mut statements = own_statements(&template, role)?;
        statements.extend(Statement::all(&grant, None)?);
        let access = Access {
            action: "kms:Decrypt".into(),
            resource: "arn:aws:kms:us-east-1:000000000000:key/of-aws".into(),
            context: BTreeMap::new(),
        };
        ensure!(iam::allows(&statements, &access), "no function starts with {role}");
    }
    Ok(())
}

/// Lambda itself reads the stream with the role: `lambda:SourceFunctionArn` is absent there too.
async fn lambda_follows_the_stream_with_the_role() -> anyhow::Result<()> {
    let template = template::ours(BTreeMap::new())?;
    let event = &template.properties("CrlFunction")?["Events"]["Requested"]["Properties"];
    let stream = event["Stream"].as_str().context("a stream")?;
    let statements = own_statements(&template, "CrlRole")?;
    for action in ["DescribeStream", "GetRecords", "GetShardIterator"] {
        let access = Access {
            action: format!("dynamodb:{action}"),
            resource: stream.into(),
            context: BTreeMap::new(),
        };
        ensure!(iam::allows(&statements, &access), "{action} is not allowed");
    }
    // The filter passes exactly what operators' commands write.
    let pattern = event["FilterCriteria"]["Filters"][0]["Pattern"].as_str().context("a pattern")?;
    let pattern: Value = serde_json::from_str(pattern)?;
    ensure!(pattern == json!({ "dynamodb": { "Keys": { "PK": { "S": ["CRL#REQUEST"] } } } }));
    Ok(())
}

async fn nobody_signs_by_iam() -> anyhow::Result<()> {
    let all = ["DeviceKeys", "ServerKeys"].map(|keys| (keys.into(), "2".into()));
    let template = template::ours(BTreeMap::from(all))?;
    for role in template.of_type("AWS::IAM::Role")? {
        for statement in own_statements(&template, role)? {
            let of_kms = statement.actions.iter().any(|it| it.starts_with("kms:") || it == "*");
            ensure!(statement.effect == Effect::Deny || !of_kms, "{role}: {statement:?}");
        }
    }
    // The account as a whole: with it a key's policy delegates to IAM policies.
    let account = "arn:aws:iam::000000000000:root";
    for key in template.of_type("AWS::KMS::Key")? {
        let arn = template.arn(key)?;
        let policy = &template.properties(key)?["KeyPolicy"];
        let delegated = Statement::all(policy, Some(account))?;
        ensure!(!delegated.is_empty(), "nobody could ever administer {key}");
        for action in ["kms:Sign", "kms:CreateGrant"] {
            let context = BTreeMap::from([
                ("kms:MessageType".into(), vec!["DIGEST".into()]),
                ("kms:SigningAlgorithm".into(), vec!["ECDSA_SHA_256".into()]),
            ]);
            let access = Access { action: action.into(), resource: arn.clone(), context };
            let on_key: Vec<_> = delegated.iter().cloned().map(|it| it.on(&arn)).collect();
            ensure!(!iam::allows(&on_key, &access), "{key} lets IAM grant {action}");
        }
    }
    Ok(())
}
