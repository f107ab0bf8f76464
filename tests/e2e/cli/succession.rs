//! `birthcert ca` where CRLs are published: a new CA has a CRL at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::stack::Stack;
use pki::authority::CaCertificate;
use pki::crl::VerifiedCrl;
use serde_json::Value;
use tokio::time::sleep;

use super::setup::start;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![a_new_ca_has_its_crl_at_once]
}

/// Far less than the hour after which the CRL would be published anyway.
const LIMIT: Duration = Duration::from_secs(20);

async fn a_new_ca_has_its_crl_at_once() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let root = stack.data.join("ca");
    let certification =
        format!("--root {0} --passphrase-file {0}/passphrase --yes", root.display());
    operator.done(&format!("ca subordinate --usage service {certification}")).await?;
    listed(&stack, "service", "active").await?;

    operator.done("ca request --usage device --name device-2 --csr 2.csr --yes").await?;
    let certify = "ca certify --usage device --name device-2 --csr 2.csr --certificate 2.pem";
    operator.done(&format!("{certify} {certification}")).await?;
    let root = root.join("root.pem");
    let prepare = format!(
        "ca prepare --usage device --certificate 2.pem --root-certificate {}",
        root.display()
    );
    // Certificates of the stack's own CA name its CRL.
    let rehearsed = operator.done(&prepare).await?;
    ensure!(rehearsed.contains("Note: its certificates will not name a CRL"), "{rehearsed}");
    let url = format!("{}/crl/device-2.crl", stack.state.api_url);
    let rehearsed = operator.done(&format!("{prepare} --crl-url {url}")).await?;
    ensure!(!rehearsed.contains("will not name a CRL"), "{rehearsed}");
    ensure!(reqwest::get(&url).await?.status() == 404, "a dry run published it");
    operator.done(&format!("{prepare} --crl-url {url} --yes")).await?;
    listed(&stack, "device-2", "prepared").await?;

    operator.done("crl publish --ca device-2").await?;
    operator.done("ca activate --name device-2 --yes").await?;
    listed(&stack, "device-2", "active").await?;
    stack.stop().await
}

/// Waits until a CRL of the CA is published and the index has the CA's status.
async fn listed(stack: &Stack, name: &str, status: &str) -> anyhow::Result<()> {
    let url = &stack.state.api_url;
    let ca = CaCertificate::from_pem(&stack.authority(name).await?.certificate_pem);
    let ca = ca.map_err(anyhow::Error::msg)?;
    let began = Instant::now();
    loop {
        let index = reqwest::get(format!("{url}/ca/index.json")).await?.bytes().await?;
        let index: Value = serde_json::from_slice(&index)?;
        let known = index["authorities"].as_array().context("a list")?;
        let is_known = known.iter().any(|it| it["name"] == name && it["status"] == status);
        let list = reqwest::get(format!("{url}/crl/{name}.crl")).await?;
        if is_known && list.status() == 200 {
            VerifiedCrl::from_der(list.bytes().await?, &ca)?;
            return Ok(());
        }
        let list = list.status();
        ensure!(began.elapsed() < LIMIT, "{name} after {LIMIT:?}: {list}, {index}");
        sleep(Duration::from_millis(50)).await;
    }
}
