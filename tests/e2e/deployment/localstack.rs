//! LocalStack: the compose file, and the deployments by the init script and by SAM.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use birthcert_tests::api::{Api, Enrolled};
use birthcert_tests::aws::cloudformation::DeployedStack;
use birthcert_tests::aws::localstack::{
    ACCOUNT, LocalStack, REGION, REPOSITORY, python, sam, stdout,
};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::{Process, binary, free_port, tool};
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use serde_json::{Value, json};

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        the_compose_file_starts_what_is_tested_here,
        a_device_gets_its_identity_from_what_was_deployed,
        the_api_alone_names_a_missing_variable,
    ]
}

const INIT_SCRIPT: &str = "infra/deploy/localstack/ready.d/birthcert.py";
const COMPOSE_FILE: &str = "infra/deploy/localstack/compose.yaml";
/// Resource types that hold data: none of them may be left out.
const STATEFUL: [&str; 3] = ["AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::KMS::Alias"];

/// Reads a file of the repository with AWS's own template parser.
async fn yaml(path: &str) -> anyhow::Result<Value> {
    let mut parser = Command::new(sam("python")?);
    let program = "import json, sys; from samcli.yamlhelper import yaml_parse; \
                   print(json.dumps(yaml_parse(open(sys.argv[1]).read())))";
    parser.args(["-c", program, path]).current_dir(REPOSITORY);
    Ok(serde_json::from_str(&stdout(parser).await?)?)
}

/// Returns the template that the init script deploys.
async fn derived_template() -> anyhow::Result<Value> {
    let mut script = Command::new(python()?);
    script.args([INIT_SCRIPT, "template.yaml"]).current_dir(REPOSITORY);
    Ok(serde_json::from_str(&stdout(script).await?)?)
}

async fn the_compose_file_starts_what_is_tested_here() -> anyhow::Result<()> {
    let mut check = Command::new(tool::find("docker-compose")?);
    check.args(["--file", COMPOSE_FILE, "config", "--quiet"]).current_dir(REPOSITORY);
    stdout(check).await?;

    let compose = yaml(COMPOSE_FILE).await?;
    let service = &compose["services"]["localstack"];
    let image = service["image"].as_str().context("an image")?;
    let version = image.strip_prefix("localstack/localstack:").context("LocalStack's own")?;
    let pinned =
        fs::read_to_string(Path::new(REPOSITORY).join("tests/tools/requirements-localstack.txt"));
    let pinned = pinned?;
    let ours = pinned.lines().find_map(|line| line.strip_prefix("localstack-core=="));
    ensure!(ours == Some(version), "{image}, and tested here: {ours:?}");

    for port in service["ports"].as_array().context("ports")? {
        ensure!(port.as_str().context("text")?.starts_with("127.0.0.1:"), "{port}");
    }
    let folder = Path::new(REPOSITORY).join("infra/deploy/localstack");
    let mut mounts = BTreeMap::new();
    for volume in service["volumes"].as_array().context("volumes")? {
        let parts: Vec<_> = volume.as_str().context("text")?.split(':').collect();
        let [source, target, "ro"] = parts[..] else { bail!("{volume}") };
        mounts.insert(target, folder.join(source).canonicalize()?);
    }
    let script = mounts.get("/etc/localstack/init/ready.d").context("the init script")?;
    ensure!(script.join("birthcert.py") == Path::new(REPOSITORY).join(INIT_SCRIPT).canonicalize()?);
    let template = mounts.get("/etc/birthcert/template.yaml").context("the template")?;
    ensure!(*template == Path::new(REPOSITORY).join("template.yaml").canonicalize()?);
    Ok(())
}

/// Runs the compose file's health check against a LocalStack outside of a container.
async fn check_health(localstack: &LocalStack) -> anyhow::Result<()> {
    let compose = yaml(COMPOSE_FILE).await?;
    let check = &compose["services"]["localstack"]["healthcheck"]["test"];
    let [Value::String(kind), Value::String(line)] =
        check.as_array().context("a check")?.as_slice()
    else {
        bail!("{check}")
    };
    ensure!(kind == "CMD-SHELL" && line.contains("http://127.0.0.1:4566/"), "{check}");
    let mut shell = localstack.command(Path::new("/bin/sh"));
    shell.args(["-c", &line.replace("http://127.0.0.1:4566", localstack.endpoint())]);
    stdout(shell).await.map(drop)
}

/// Checks that the derived template is the template without what LocalStack does not run.
fn check_derived(derived: &Value, whole: &Value) -> anyhow::Result<()> {
    for section in ["Parameters", "Conditions", "Transform"] {
        ensure!(derived[section] == whole[section], "{section} is not the template's");
    }
    for section in ["Resources", "Outputs"] {
        for (name, part) in derived[section].as_object().context("a section")? {
            ensure!(*part == whole[section][name], "{name} is not the template's");
        }
    }
    for (name, resource) in whole["Resources"].as_object().context("resources")? {
        let kind = resource["Type"].as_str().context("a type")?;
        let kept = derived["Resources"].get(name).is_some();
        ensure!(kept || !STATEFUL.contains(&kind), "{name} was left out");
        ensure!(!kept || !kind.starts_with("AWS::Serverless::"), "{name} was not left out");
    }
    for output in ["TableName", "DeviceKeyArn", "ServerKeyArn"] {
        ensure!(derived["Outputs"].get(output).is_some(), "the output {output} was left out");
    }
    Ok(())
}

/// Returns a stack as LocalStack has deployed it.
async fn deployed(
    localstack: &LocalStack,
    name: &str,
    template: &Value,
    parameters: &[(&str, &str)],
) -> anyhow::Result<DeployedStack> {
    let line = format!("cloudformation describe-stack-resources --stack-name {name}");
    let described = localstack.aws(&line).await?;
    let mut physical_ids = BTreeMap::new();
    for resource in described["StackResources"].as_array().context("resources")? {
        ensure!(resource["ResourceStatus"] == "CREATE_COMPLETE", "{resource}");
        let text = |key: &str| Ok(resource[key].as_str().context("text")?.to_owned());
        let ids: anyhow::Result<_> = text("LogicalResourceId")
            .and_then(|logical| Ok((logical, text("PhysicalResourceId")?)));
        physical_ids.extend([ids?]);
    }
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Ok(DeployedStack {
        template: template.clone(),
        name: name.into(),
        account: ACCOUNT.into(),
        region: REGION.into(),
        parameters: parameters.iter().map(owned).collect(),
        physical_ids,
    })
}

/// Checks that DynamoDB and KMS describe the stack's table, keys and aliases as the template does.
async fn check_deployed(localstack: &LocalStack, stack: &DeployedStack) -> anyhow::Result<()> {
    let made: BTreeSet<_> = stack.physical_ids.keys().collect();
    let mut wanted = BTreeSet::new();
    for (name, resource) in stack.template["Resources"].as_object().context("some")? {
        if stack.has(resource)? {
            wanted.insert(name);
        }
    }
    ensure!(made == wanted, "made {made:?} of {wanted:?}");

    for table in stack.of_type("AWS::DynamoDB::Table")? {
        let wanted = stack.properties(table)?;
        let name = wanted["TableName"].as_str().context("a name")?;
        let line = format!("dynamodb describe-table --table-name {name}");
        let table = localstack.aws(&line).await?["Table"].take();
        for property in ["TableName", "AttributeDefinitions", "KeySchema"] {
            ensure!(table[property] == wanted[property], "{property}: {table}");
        }
        ensure!(table["BillingModeSummary"]["BillingMode"] == wanted["BillingMode"], "{table}");
        ensure!(
            table["SSEDescription"]["SSEType"] == wanted["SSESpecification"]["SSEType"],
            "{table}"
        );
        let is_streamed = &wanted["StreamSpecification"]["StreamViewType"];
        ensure!(table["StreamSpecification"]["StreamViewType"] == *is_streamed, "{table}");
        let indexes = wanted["GlobalSecondaryIndexes"].as_array().context("indexes")?;
        let made = table["GlobalSecondaryIndexes"].as_array().context("indexes")?;
        ensure!(made.len() == indexes.len(), "{table}");
        for index in indexes {
            let twin = made.iter().find(|it| it["IndexName"] == index["IndexName"]);
            let twin = twin.with_context(|| format!("no {index}"))?;
            for property in ["KeySchema", "Projection"] {
                ensure!(twin[property] == index[property], "{twin} instead of {index}");
            }
        }
    }

    for key in stack.of_type("AWS::KMS::Key")? {
        let wanted = stack.properties(key)?;
        let id = &stack.physical_ids[key];
        let line = format!("kms describe-key --key-id {id}");
        let metadata = localstack.aws(&line).await?["KeyMetadata"].take();
        for property in ["Description", "KeySpec", "KeyUsage"] {
            ensure!(metadata[property] == wanted[property], "{property} of {key}: {metadata}");
        }
        let line = format!("kms get-key-policy --policy-name default --key-id {id}");
        let policy = localstack.aws(&line).await?;
        let policy: Value = serde_json::from_str(policy["Policy"].as_str().context("text")?)?;
        ensure!(policy == wanted["KeyPolicy"], "{key}: {policy} for {}", wanted["KeyPolicy"]);
    }

    let aliases = localstack.aws("kms list-aliases").await?;
    let aliases = aliases["Aliases"].as_array().context("aliases")?;
    for alias in stack.of_type("AWS::KMS::Alias")? {
        let wanted = stack.properties(alias)?;
        let made = aliases.iter().find(|it| it["AliasName"] == wanted["AliasName"]);
        let made = made.with_context(|| format!("no {wanted}"))?;
        ensure!(made["TargetKeyId"] == wanted["TargetKeyId"], "{made} instead of {wanted}");
    }
    Ok(())
}

/// Runs `sam deploy` as an operator does, except for the template.
async fn sam_deploys(
    localstack: &LocalStack,
    template: &Value,
    stack: &str,
    parameters: &[(&str, &str)],
) -> anyhow::Result<()> {
    let template = tool::file(&template.to_string())?;
    let mut deploy = localstack.command(&sam("sam")?);
    deploy
        .env("SAM_CLI_TELEMETRY", "0")
        .args(["deploy", "--stack-name", stack, "--capabilities", "CAPABILITY_IAM"])
        .args(["--no-confirm-changeset", "--template-file"])
        .arg(template.path())
        .arg("--parameter-overrides")
        .args(parameters.iter().map(|(name, value)| format!("{name}={value}")));
    stdout(deploy).await.map(drop)
}

async fn a_device_gets_its_identity_from_what_was_deployed() -> anyhow::Result<()> {
    const CA_OFFICER: &str = "arn:aws:iam::000000000000:role/ca-officer";
    const OPERATOR: &str = "arn:aws:iam::000000000000:user/operator";
    let template = derived_template().await?;
    check_derived(&template, &yaml("template.yaml").await?)?;
    let localstack = LocalStack::start(&Path::new(REPOSITORY).join("template.yaml")).await?;
    check_health(&localstack).await?;
    let first = deployed(&localstack, "birthcert", &template, &[]).await?;
    check_deployed(&localstack, &first).await?;

    let parameters = [
        ("TableName", "fleet-two"),
        ("CeremonyPrincipalArn", CA_OFFICER),
        ("OperatorPrincipalArn", OPERATOR),
        ("DeviceKeys", "2"),
        ("ServerKeys", "2"),
    ];
    sam_deploys(&localstack, &template, "second", &parameters).await?;
    let second = deployed(&localstack, "second", &template, &parameters).await?;
    check_deployed(&localstack, &second).await?;
    // Repeated here, so that a template without a policy does not prove itself.
    let names = async |stack: &DeployedStack, key: &str, principal: &str| {
        let id = &stack.physical_ids[key];
        let line = format!("kms get-key-policy --policy-name default --key-id {id}");
        let policy = localstack.aws(&line).await?;
        anyhow::Ok(policy["Policy"].as_str().context("text")?.contains(principal))
    };
    for (key, is_operators) in
        [("DeviceKey", false), ("DeviceKey2", false), ("ServerKey", true), ("ServerKey2", true)]
    {
        ensure!(names(&second, key, CA_OFFICER).await?, "{key}");
        ensure!(names(&second, key, OPERATOR).await? == is_operators, "{key}");
    }
    ensure!(first.physical_ids.keys().all(|id| !id.contains("Key2")), "keys too many");
    ensure!(!names(&first, "DeviceKey", CA_OFFICER).await?);

    // The command finds the deployed keys by their aliases, and creates none.
    let keys = localstack.aws("kms list-keys").await?;
    let mut operator = Operator::offline()?.with("BIRTHCERT_TABLE", "birthcert");
    for (name, value) in localstack.variables() {
        operator = operator.with(name, value);
    }
    operator.create_root().await?;
    for (usage, key) in [("device", "DeviceKey"), ("server", "ServerKey")] {
        let line = format!(
            "ca subordinate --usage {usage} --root root --passphrase-file passphrase --yes"
        );
        let active = operator.json(&line).await?;
        let id = &first.physical_ids[key];
        let arn = json!(format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}"));
        ensure!(active["key_arn"] == arn, "{active} instead of {arn}");
    }
    ensure!(localstack.aws("kms list-keys").await? == keys, "the ceremony made keys");

    let project = operator.done("project create --name pumps").await?.trim_end().to_owned();
    let token = operator.json(&format!("token create --project {project}")).await?;
    let token = token["enrollment_token"].as_str().context("a token")?;
    let port = free_port()?;
    let _functions = Process::start(&binary("birthcert-local")?, port, |api, _| {
        api.args(["api", "--listen", &format!("127.0.0.1:{port}")])
            .env_clear()
            .env("TABLE_NAME", "birthcert")
            .envs(localstack.variables());
    })
    .await?;
    let api = Api::new(format!("http://127.0.0.1:{port}"));
    let device: Enrolled = api.enroll(token).await?.success()?;
    let identity = api.released(&device).await?;

    let root = operator.read("root/root.pem")?;
    ensure!(identity.ca_certificate_pem == root, "another root");
    let leaf = &identity.device_certificate_pem;
    let subordinate = identity.certificate_chain_pem.strip_prefix(leaf.as_str());
    let subordinate = subordinate.context("the leaf comes first in its chain")?;
    let verdict = openssl::verify(leaf, subordinate, &root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    check_key(&localstack, &first.physical_ids["DeviceKey"], subordinate).await?;

    let issue = "broker issue --dns localhost --directory broker";
    operator.done(&format!("{issue} --root-certificate root/root.pem")).await?;
    let devices = operator.json(&format!("device list --project {project}")).await?;
    ensure!(devices[0]["device_id"] == device.device_id.to_string(), "{devices}");
    // All items are in the one table, and none in the other.
    let line = "dynamodb scan --select COUNT --table-name fleet-two";
    ensure!(localstack.aws(line).await?["Count"] == 0, "the other table was written to");
    Ok(())
}

/// Checks that a certificate is for the key that KMS has under `id`.
async fn check_key(localstack: &LocalStack, id: &str, certificate: &str) -> anyhow::Result<()> {
    let answer = localstack.aws(&format!("kms get-public-key --key-id {id}")).await?;
    let der = answer["PublicKey"].as_str().context("base64")?;
    let certificate = tool::file(certificate)?;
    let path = certificate.path().to_str().context("UTF-8")?;
    let pem = tool::run("openssl", ["x509", "-noout", "-pubkey", "-in", path]).await?.output;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    ensure!(body == der, "the certificate is for {body}, the key is {der}");
    Ok(())
}

async fn the_api_alone_names_a_missing_variable() -> anyhow::Result<()> {
    let mut api = Command::new(binary("birthcert-local")?);
    api.env_clear().args(["api", "--listen", "127.0.0.1:0"]);
    let error = stdout(api).await.expect_err("it started").to_string();
    let line = "birthcert-local: the environment variable TABLE_NAME is not set";
    ensure!(error.contains(line), "{error}");
    Ok(())
}
