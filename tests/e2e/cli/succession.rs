//! `birthcert ca` where CRLs are published: who is new there has a list at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::stack::Stack;
use pki::authority::CaCertificate;
use pki::crl::VerifiedCrl;
use serde_json::Value;
use tokio::time::sleep;

use super::start;

pub(super) fn tests() -> Vec<crate::Alone> {
    crate::alone![a_new_ca_has_its_list_at_once]
}

/// Far less than the hour after which it comes by itself.
const LIMIT: Duration = Duration::from_secs(20);

async fn a_new_ca_has_its_list_at_once() -> anyhow::Result<()> {
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
    // What the stack's own CA issues names its list.
    let rehearsed = operator.done(&prepare).await?;
    ensure!(rehearsed.contains("Note: what it issues will name no CRL"), "{rehearsed}");
    let url = format!("{}/crl/device-2.crl", stack.state.api_url);
    let rehearsed = operator.done(&format!("{prepare} --crl-url {url}")).await?;
    ensure!(!rehearsed.contains("will name no CRL"), "{rehearsed}");
    ensure!(reqwest::get(&url).await?.status() == 404, "a dry run published it");
    operator.done(&format!("{prepare} --crl-url {url} --yes")).await?;
    listed(&stack, "device-2", "prepared").await?;

    operator.done("crl publish --ca device-2").await?;
    operator.done("ca activate --name device-2 --yes").await?;
    listed(&stack, "device-2", "active").await?;
    stack.stop().await
}

/// Returns once a list of the CA is published, and the index says how the CA stands.
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
