//! The events in `events/`, which `sam local` uses too, passed through the handlers.

use std::path::Path;

use anyhow::{Context as _, ensure};

use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use enroll::Enroll;
use identity::Identity;
use lambda::runtime::Runtime;
use lambda_http::{Context, LambdaEvent};
use serde_json::Value;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![every_event_is_answered]
}

const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };

async fn every_event_is_answered(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let enroll = Enroll::start(&env.config, QUIET).await?;
    let identity = Identity::start(&env.config, QUIET).await?;
    let device = env.api.enrolled(&env.token).await?;

    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../events"));
    let mut labels = Vec::new();
    let mut identities = 0;
    for file in folder.read_dir()? {
        let path = file?.path();
        let event = std::fs::read_to_string(&path)?
            .replace("ENROLLMENT_TOKEN", &env.token.expose())
            .replace("DEVICE_TOKEN", &device.device_token);
        let event = LambdaEvent::new(serde_json::from_str(&event)?, Context::default());
        let name = path.file_stem().and_then(|it| it.to_str()).context("a name")?;
        let answer = if name.contains("identity") {
            let answer =
                lambda::function::answer(event, QUIET, |request| identity.handle(request)).await;
            serde_json::to_value(answer.map_err(anyhow::Error::from_boxed)?)?
        } else {
            let answer =
                lambda::function::answer(event, QUIET, |request| enroll.handle(request)).await;
            serde_json::to_value(answer.map_err(anyhow::Error::from_boxed)?)?
        };
        ensure!(answer["statusCode"] == 200, "{name}: {answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().context("a body")?)?;
        if name.contains("identity") {
            ensure!(body["device_id"] == device.device_id.to_string(), "{name}");
            let generated = !name.ends_with("-csr");
            ensure!(body["device_private_key_pem"].is_string() == generated, "{name}");
            identities += 1;
        } else {
            let devices = env.store.devices(env.project, None).await?;
            let listed =
                devices.into_iter().find(|it| body["device_id"] == it.device_id.to_string());
            labels.push((name.to_owned(), listed.context("listed")?.label.is_some()));
        }
    }
    labels.sort();
    let expected = [
        ("enroll", true),
        ("enroll-multipart", true),
        ("enroll-without-label", false),
        ("rest-enroll", true),
    ];
    ensure!(labels == expected.map(|(name, has)| (name.to_owned(), has)), "{labels:?}");
    ensure!(identities == 4);
    env.verify_ledger(&[device]).await
}
