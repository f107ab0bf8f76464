//! `sam local`, which `infra/deploy/sam-local` runs on a stack of birthcert-local.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use birthcert_local::stack::StackInfo;
use birthcert_tests::api::{Api, ApiResponse, ENROLLMENT_TOKEN, Enrolled};
use birthcert_tests::process::tool;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use http::Method;
use serde_json::Value;

use crate::repository::repository;

/// The running programs: the stack, its own gateway, and `sam local start-api`.
struct Running {
    stack: StackInfo,
    gateway: Api,
    sam: Api,
}

fn running() -> anyhow::Result<Running> {
    let variable = |name| std::env::var(name).context("these tests are run by tests/run-sam");
    let stack = StackInfo::read(&PathBuf::from(variable("BIRTHCERT_SAM_STACK")?))?;
    let (gateway, sam) = (Api::new(stack.api_url.clone()), variable("BIRTHCERT_SAM_URL")?);
    Ok(Running { stack, gateway, sam: Api::new(sam) })
}

pub(crate) async fn identity() -> anyhow::Result<()> {
    let Running { stack, sam, .. } = running()?;
    let device: Enrolled = sam.enroll(&stack.enrollment_token).await?.success()?;
    let identity = sam.released(&device).await?;
    ensure!(identity.device_id == device.device_id);
    let leaf = &identity.device_certificate_pem;
    let chain = &identity.certificate_chain_pem;
    let subordinate = chain.strip_prefix(leaf.as_str()).context("the leaf comes first")?;
    let root = std::fs::read_to_string(&stack.root_certificate)?;
    let verdict = openssl::verify(leaf, subordinate, &root, Purpose::Client).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    Ok(())
}

/// An expected status, then the request: method, path, headers and body.
type Case<'a> = (u16, Method, &'static str, Vec<(&'static str, &'a str)>, &'static str);

/// Sends the same requests to both: the stack's gateway stands in for the API Gateway that SAM
/// emulates.
pub(crate) async fn answers() -> anyhow::Result<()> {
    let Running { stack, gateway, sam } = running()?;
    let device: Enrolled = gateway.enroll(&stack.enrollment_token).await?.success()?;
    let token = (ENROLLMENT_TOKEN, stack.enrollment_token.as_str());
    let bearer = format!("Bearer {}", device.device_token);
    let multipart =
        "--X\r\nContent-Disposition: form-data; name=\"label\"\r\n\r\npump 7\r\n--X--\r\n";
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let pkcs10 = ("Content-Type", "application/pkcs10");
    let cases: [Case<'_>; 13] = [
        (200, Method::POST, "/enroll", vec![token], ""),
        (200, Method::POST, "/enroll", vec![token, form], "label=pump+%C3%A9+7"),
        (
            200,
            Method::POST,
            "/enroll",
            vec![token, ("Content-Type", "multipart/form-data; boundary=X")],
            multipart,
        ),
        (400, Method::POST, "/enroll", vec![token, form], "label=a&label=b"),
        (415, Method::POST, "/enroll", vec![token, ("Content-Type", "text/plain")], "pump 7"),
        (401, Method::POST, "/enroll", vec![], ""),
        (405, Method::GET, "/enroll", vec![token], ""),
        (200, Method::GET, "/identity", vec![("Authorization", &bearer)], ""),
        (401, Method::GET, "/identity", vec![("Authorization", "Bearer dt_x")], ""),
        (400, Method::POST, "/identity", vec![("Authorization", &bearer), pkcs10], "no request"),
        (415, Method::POST, "/identity", vec![("Authorization", &bearer), form], "no request"),
        (405, Method::DELETE, "/identity", vec![("Authorization", &bearer)], ""),
        (404, Method::GET, "/nothing/here", vec![], ""),
    ];
    for (status, method, path, headers, body) in cases {
        let ours = gateway.send(method.clone(), path, &headers, body).await?;
        let sams = sam.send(method.clone(), path, &headers, body).await?;
        ensure!(ours.status == status, "{method} {path}: {} {}", ours.status, ours.text);
        let (ours, sams) = (Shape::of(&ours)?, Shape::of(&sams)?);
        ensure!(ours == sams, "{method} {path} {body:?}: {ours:?}, but from sam {sams:?}");
    }
    Ok(())
}

/// The parts of a response that do not depend on the device or the time.
#[derive(Debug, PartialEq)]
struct Shape {
    status: u16,
    headers: Vec<String>,
    fields: BTreeSet<String>,
    problem: Option<String>,
}

impl Shape {
    fn of(answer: &ApiResponse) -> anyhow::Result<Self> {
        ensure!(!answer.header("x-request-id").is_empty(), "{:?}", answer.headers);
        let names = ["content-type", "cache-control", "www-authenticate", "allow", "retry-after"];
        let fields = answer.json.as_object().with_context(|| answer.text.clone())?;
        Ok(Self {
            status: answer.status,
            headers: names.map(|name| answer.header(name).to_owned()).into(),
            fields: fields.keys().cloned().collect(),
            problem: answer.json["type"].as_str().map(str::to_owned),
        })
    }
}

pub(crate) async fn events() -> anyhow::Result<()> {
    let Running { stack, gateway, .. } = running()?;
    let device: Enrolled = gateway.enroll(&stack.enrollment_token).await?.success()?;
    let sam = repository("infra/deploy/sam").canonicalize()?;
    let sam = sam.to_str().context("a path in UTF-8")?;
    let config = repository(".aws-sam/local/samconfig.toml").canonicalize()?;
    let mut answered = 0;
    for file in repository("events").read_dir()? {
        let path = file?.path();
        let name = path.file_stem().and_then(OsStr::to_str).context("a name")?;
        let event = std::fs::read_to_string(&path)?
            .replace("ENROLLMENT_TOKEN", &stack.enrollment_token)
            .replace("DEVICE_TOKEN", &device.device_token);
        let event = tool::file(&event)?;
        let is_identity = name.contains("identity");
        let function = if is_identity { "IdentityFunction" } else { "EnrollFunction" };
        let options = ["local", "invoke", function, "--skip-pull-image", "--config-file"];
        let files = [config.as_os_str(), OsStr::new("--event"), event.path().as_os_str()];
        let finished = tool::run(sam, options.map(OsStr::new).into_iter().chain(files)).await?;
        ensure!(finished.status.success(), "{name}: {}", finished.output);

        // The function's standard output comes first, without a line feed at its end.
        let mut output = serde_json::Deserializer::from_str(&finished.output).into_iter::<Value>();
        let answer = output.next().with_context(|| format!("{name}: no output"))?;
        let answer = answer.with_context(|| finished.output.clone())?;
        ensure!(answer["statusCode"] == 200, "{name}: {answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().context("a body")?)?;
        ensure!(
            (body["device_id"] == device.device_id.to_string()) == is_identity,
            "{name}: {body}"
        );
        ensure!(body["device_certificate_pem"].is_string() == is_identity, "{name}");
        let generated = is_identity && !name.ends_with("-csr");
        ensure!(body["device_private_key_pem"].is_string() == generated, "{name}");
        answered += 1;
    }
    ensure!(answered >= 8, "only {answered} events");
    Ok(())
}
