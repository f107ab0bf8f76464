//! template.yaml apart from its roles: logs, throttling, retention and refused parameters.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::cloudformation::DeployedStack;
use birthcert_tests::aws::iam::access::Access;
use birthcert_tests::aws::iam::{self, Statement};
use birthcert_tests::aws::template;
use regex_lite::Regex;
use serde_json::{Value, json};

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        the_access_log_has_nothing_that_a_client_sends,
        every_route_has_a_limit_of_its_own,
        irreplaceable_resources_are_retained,
        every_log_group_has_a_retention,
        people_sign_as_functions_do_and_only_while_they_may,
        values_out_of_range_are_refused,
        a_domain_and_its_certificate_go_together,
    ]
}

fn ours() -> anyhow::Result<DeployedStack> {
    template::ours(BTreeMap::new())
}

async fn the_access_log_has_nothing_that_a_client_sends() -> anyhow::Result<()> {
    let api = ours()?.properties("Api")?;
    let format = api["AccessLogSettings"]["Format"].as_str().context("a format")?.to_owned();
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
    let harmless = [
        "error.responseType",
        "httpMethod",
        "identity.sourceIp",
        "integrationLatency",
        "requestId",
        "requestTime",
        "responseLatency",
        "responseLength",
        "routeKey",
        "status",
    ];
    let variables = Regex::new(r"\$([A-Za-z]+)\.([A-Za-z.]+)")?;
    let mut found = BTreeSet::new();
    for variable in variables.captures_iter(&format) {
        ensure!(&variable[1] == "context" && harmless.contains(&&variable[2]), "{}", &variable[0]);
        found.insert(variable[2].to_owned());
    }
    ensure!(found.len() == harmless.len() && format.matches('$').count() == harmless.len());
    // A log line is JSON, whatever API Gateway inserts.
    let line: Value = serde_json::from_str(&variables.replace_all(&format, "-"))?;
    ensure!(line["request_id"] == "-", "{line}");
    Ok(())
}

async fn every_route_has_a_limit_of_its_own() -> anyhow::Result<()> {
    let template = ours()?;
    let api = template.properties("Api")?;
    let limits =
        |of: &Value| ["ThrottlingRateLimit", "ThrottlingBurstLimit"].map(|it| of[it].clone());
    ensure!(limits(&api["DefaultRouteSettings"]).iter().all(|limit| !limit.is_null()));
    let mut routes = BTreeSet::new();
    for function in template.of_type("AWS::Serverless::Function")? {
        for event in template.properties(function)?["Events"].as_object().into_iter().flatten() {
            let properties = &event.1["Properties"];
            if let (Some(method), Some(path)) =
                (properties["Method"].as_str(), properties["Path"].as_str())
            {
                let route = format!("{method} {path}");
                let own = limits(&api["RouteSettings"][&route]);
                ensure!(own.iter().all(|limit| !limit.is_null()), "{route} has no limit");
                routes.insert(route);
            }
        }
    }
    let settings = api["RouteSettings"].as_object().context("routes")?;
    ensure!(settings.keys().eq(&routes), "{settings:?}, {routes:?}");
    Ok(())
}

async fn irreplaceable_resources_are_retained() -> anyhow::Result<()> {
    let all = ["DeviceKeys", "ServerKeys"].map(|keys| (keys.into(), "2".into()));
    let template = template::ours(BTreeMap::from(all))?;
    for kind in [
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
        "AWS::KMS::Alias",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
    ] {
        let ids = template.of_type(kind)?;
        ensure!(!ids.is_empty(), "no {kind}");
        for id in ids {
            let resource = &template.template["Resources"][id];
            ensure!(resource["DeletionPolicy"] == "RetainExceptOnCreate", "{id} goes");
            ensure!(resource["UpdateReplacePolicy"] == "Retain", "{id} is lost when replaced");
        }
    }
    let table = template.properties("Table")?;
    let recovery = &table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"];
    ensure!(*recovery == true && table["BillingMode"] == "PAY_PER_REQUEST", "{table}");
    ensure!(table["DeletionProtectionEnabled"] == "true", "unless told otherwise");
    ensure!(table["SSESpecification"]["SSEEnabled"] == true, "{table}");
    // Keys only: an item's image would contain the hashes of tokens.
    ensure!(table["StreamSpecification"] == json!({ "StreamViewType": "KEYS_ONLY" }), "{table}");
    for key in template.of_type("AWS::KMS::Key")? {
        let key = template.properties(key)?;
        ensure!(key["KeySpec"] == "ECC_NIST_P256" && key["KeyUsage"] == "SIGN_VERIFY", "{key}");
        ensure!(key["PendingWindowInDays"] == 30, "the longest time to think again");
    }
    Ok(())
}

async fn every_log_group_has_a_retention() -> anyhow::Result<()> {
    let template = ours()?;
    let logs = template.of_type("AWS::Logs::LogGroup")?;
    ensure!(logs.len() == 4, "one a function, and the API's: {logs:?}");
    for id in logs {
        let days = template.properties(id)?["RetentionInDays"].clone();
        ensure!(days == "90" || days == 90, "{id}: {days}");
    }
    for function in template.of_type("AWS::Serverless::Function")? {
        let logging = &template.properties(function)?["LoggingConfig"];
        ensure!(logging["LogFormat"] == "JSON" && !logging["LogGroup"].is_null(), "{function}");
    }
    Ok(())
}

async fn people_sign_as_functions_do_and_only_while_they_may() -> anyhow::Result<()> {
    let [officer, operator] =
        ["officer", "operator"].map(|it| format!("arn:aws:iam::000000000000:role/{it}"));
    let keys = ["DeviceKeys", "ServerKeys"].map(|keys| (keys.to_owned(), "2".to_owned()));
    let people = [("CeremonyPrincipalArn", &officer), ("OperatorPrincipalArn", &operator)];
    let people = people.map(|(name, arn)| (name.to_owned(), arn.clone()));
    let closed = template::ours(keys.clone().into())?;
    let open = template::ours(keys.into_iter().chain(people).collect())?;

    let digest = [("kms:MessageType", "DIGEST"), ("kms:SigningAlgorithm", "ECDSA_SHA_256")];
    let message = [("kms:MessageType", "RAW"), ("kms:SigningAlgorithm", "ECDSA_SHA_256")];
    let asked = |action: &str, arn: &str, context: &[(&str, &str)]| Access {
        action: action.into(),
        resource: arn.into(),
        context: context
            .iter()
            .map(|(key, value)| ((*key).into(), vec![(*value).into()]))
            .collect(),
    };
    for id in open.of_type("AWS::KMS::Key")? {
        let arn = open.arn(id)?;
        let may = |stack: &DeployedStack, who: &str, access: &Access| {
            let statements = Statement::all(&stack.properties(id)?["KeyPolicy"], Some(who))?;
            let on_key: Vec<_> = statements.into_iter().map(|it| it.on(&arn)).collect();
            anyhow::Ok(iam::allows(&on_key, access))
        };
        let signs = asked("kms:Sign", &arn, &digest);
        ensure!(may(&open, &officer, &signs)?, "{id}: no ceremony");
        ensure!(may(&open, &operator, &signs)? == id.starts_with("Server"), "{id}: operators");
        for who in [&officer, &operator] {
            ensure!(!may(&closed, who, &signs)?, "{id}: {who}, whom nobody let in");
            for other in [
                asked("kms:Sign", &arn, &message),
                asked("kms:Sign", &arn, &[]),
                asked("kms:CreateGrant", &arn, &digest),
                asked("kms:PutKeyPolicy", &arn, &[]),
                asked("kms:ScheduleKeyDeletion", &arn, &[]),
            ] {
                ensure!(!may(&open, who, &other)?, "{id}: {who} may {other:?}");
            }
        }
        let stranger = "arn:aws:iam::000000000000:role/stranger";
        ensure!(!may(&open, stranger, &signs)?, "{id}: everybody may");
    }
    Ok(())
}

/// Values that CloudFormation refuses before it creates anything, and values that it accepts, for
/// each parameter.
const VALUES: [(&str, &[&str], &[&str]); 23] = [
    ("Architecture", &["arm", ""], &["arm64", "x86_64"]),
    ("TableName", &["a.b", "ab", ""], &["fleet-2"]),
    ("DeletionProtection", &["yes"], &["false"]),
    ("LogRetentionDays", &["0", "2", "forever"], &["7"]),
    ("EnrollRateLimit", &["0", "10001"], &["1", "10000"]),
    ("EnrollBurstLimit", &["0", "5001"], &["1", "5000"]),
    ("IdentityRateLimit", &["0", "10001"], &["1"]),
    ("IdentityBurstLimit", &["0", "5001"], &["1"]),
    ("DefaultRateLimit", &["0", "10001"], &["1"]),
    ("DefaultBurstLimit", &["0", "5001"], &["1"]),
    (
        "CeremonyPrincipalArn",
        &["", "*", "arn:aws:iam::1:role/x", "arn:aws:sts::123456789012:assumed-role/x/y"],
        &["none", "arn:aws:iam::123456789012:role/a/b"],
    ),
    ("OperatorPrincipalArn", &["*", "arn:aws:iam::123456789012:root"], &["none"]),
    ("DeviceKeys", &["0", "3"], &["2"]),
    ("ServerKeys", &["0", "3"], &["2"]),
    ("RootSha256", &["", "any", "00:11", "none,none"], &["none", SHA256]),
    ("AlarmEmail", &["nobody", "a b@example.com"], &["none", "oncall@example.com"]),
    ("IssuanceAlarmThreshold", &["0", "many"], &["1"]),
    ("CaDaysLeftAlarmThreshold", &["0"], &["1"]),
    ("DomainName", &["https://ca.example.com", "CA.example.com", "ca"], &["ca.example.com"]),
    ("CertificateArn", &["arn:aws:iam::123456789012:role/x"], &["none"]),
    ("HostedZoneId", &["z1", "/hostedzone/Z1"], &["Z0123ABC"]),
    ("CrlDomainName", &["crl.example.com.", "http://crl.example.com"], &["crl.example.com"]),
    (
        "CrlCertificateArn",
        &["arn:aws:acm:eu-central-1:123456789012:certificate/0a"],
        &["arn:aws:acm:us-east-1:123456789012:certificate/0a"],
    ),
];
const SHA256: &str = "0123456789ABCDEF0123456789abcdef:0123456789ABCDEF0123456789ABCDEF";

async fn values_out_of_range_are_refused() -> anyhow::Result<()> {
    let template = ours()?;
    let parameters = template.template["Parameters"].as_object().context("parameters")?;
    let known: BTreeSet<_> = VALUES.iter().map(|(name, ..)| *name).collect();
    let all: BTreeSet<_> = parameters.keys().map(String::as_str).collect();
    ensure!(known == all, "{:?}", known.symmetric_difference(&all));
    for (name, refused, taken) in VALUES {
        let parameter = &parameters[name];
        ensure!(parameter["Description"].is_string() && !refused.is_empty(), "{name}");
        let default = plain(&parameter["Default"]);
        for value in taken.iter().copied().chain([default.as_str()]) {
            ensure!(takes(parameter, value)?, "{name} does not take {value:?}");
        }
        for value in refused {
            ensure!(!takes(parameter, value)?, "{name} takes {value:?}");
        }
    }
    Ok(())
}

/// Applies CloudFormation's checks to a value:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html>
fn takes(parameter: &Value, value: &str) -> anyhow::Result<bool> {
    if let Some(values) = parameter["AllowedValues"].as_array() {
        return Ok(values.iter().any(|allowed| plain(allowed) == value));
    }
    if parameter["Type"] == "Number" {
        let bound = |name: &str, none: f64| parameter[name].as_f64().unwrap_or(none);
        let (least, most) = (bound("MinValue", f64::MIN), bound("MaxValue", f64::MAX));
        return Ok(value.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number)));
    }
    let pattern = parameter["AllowedPattern"].as_str().context("neither values nor a pattern")?;
    Ok(Regex::new(&format!("^(?:{pattern})$"))?.is_match(value))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn a_domain_and_its_certificate_go_together() -> anyhow::Result<()> {
    let rules = ours()?.template["Rules"].clone();
    for (rule, set, needs) in [
        ("DomainNeedsCertificate", "DomainName", "CertificateArn"),
        ("CertificateNeedsDomain", "CertificateArn", "DomainName"),
        ("CrlDomainNeedsCertificate", "CrlDomainName", "CrlCertificateArn"),
        ("CrlCertificateNeedsDomain", "CrlCertificateArn", "CrlDomainName"),
    ] {
        let is_set =
            |name: &str| json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": name }, "none"] }] });
        ensure!(rules[rule]["RuleCondition"] == is_set(set), "{rule}");
        ensure!(rules[rule]["Assertions"][0]["Assert"] == is_set(needs), "{rule}");
        let words = rules[rule]["Assertions"][0]["AssertDescription"].as_str();
        ensure!(
            words.is_some_and(|it| it.contains(set) && it.contains(needs)),
            "{rule}: {words:?}"
        );
    }
    Ok(())
}
