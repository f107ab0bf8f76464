//! Published CRLs, read from the bucket as their consumers read them.

use std::fs;

use anyhow::{Context as _, ensure};
use pki::authority::{Authority, CaCertificate};
use pki::crl::VerifiedCrl;
use pki::hex;

use crate::env::Env;
use crate::process::tool;

/// A CA's CRL, and the documents published with it.
pub struct PublishedCrl {
    /// The CRL.
    pub crl: VerifiedCrl,
    /// The CA.
    pub ca: CaCertificate,
    /// The CRL in PEM, as published.
    pub pem: String,
    /// The deny list that the CRL names, in its order.
    pub denied: Vec<String>,
}

impl PublishedCrl {
    /// Reads the CRL of the CA `name`.
    ///
    /// # Errors
    /// If a document is missing, or contradicts the others.
    pub async fn of(env: &Env, name: &str) -> anyhow::Result<Self> {
        let record = env.store.authority(name).await?.context("the CA")?;
        let ca = Authority::try_from(record)?.certificate().clone();
        let crl = VerifiedCrl::from_der(get(env, &format!("crl/{name}.crl")).await?, &ca)?;
        let pem = String::from_utf8(get(env, &format!("crl/{name}.pem")).await?)?;
        ensure!(
            VerifiedCrl::from_pem(&pem, &ca)?.der() == crl.der(),
            "the CRL differs between DER and PEM"
        );
        let other = VerifiedCrl::from_der(get(env, &format!("crl/{name}-idp.crl")).await?, &ca)?;
        ensure!(other.number() == crl.number() && other.revoked().eq(crl.revoked()));
        let denied = match crl.denied_devices() {
            None => Vec::new(),
            Some(digest) => {
                let file = get(env, &format!("denied/{}.txt", hex(digest))).await?;
                // By another program, as docs/reference/publication.md tells readers to.
                let copy = env.scratch.path().join(format!("denied-{}.txt", hex(digest)));
                fs::write(&copy, &file)?;
                let summed = tool::run("sha256sum", [&copy]).await?.output;
                ensure!(
                    summed.starts_with(&hex(digest)),
                    "the CRL names {}: {summed}",
                    hex(digest)
                );
                ensure!(get(env, "denied/devices.txt").await? == file);
                let file = String::from_utf8(file)?;
                ensure!(file.is_empty() || file.ends_with('\n'));
                let devices: Vec<_> = file.lines().map(str::to_owned).collect();
                ensure!(devices.is_sorted(), "{devices:?}");
                let rules = String::from_utf8(get(env, "denied/devices.acl").await?)?;
                let everything = "topic deny #\ntopic deny $SYS/#\ntopic deny $CONTROL/#\n";
                let expected = devices.iter().map(|id| format!("user {id}\n{everything}"));
                ensure!(rules == expected.collect::<String>(), "{rules}");
                devices
            }
        };
        Ok(Self { crl, ca, pem, denied })
    }

    /// Returns the serial numbers and reasons of revoked certificates, by serial number.
    pub fn revoked(&self) -> Vec<(String, String)> {
        let pair =
            |entry: pki::crl::Entry| (entry.serial.to_string(), format!("{:?}", entry.reason));
        self.crl.revoked().map(pair).collect()
    }

    /// Returns only the serial numbers.
    pub fn serials(&self) -> Vec<String> {
        self.crl.revoked().map(|entry| entry.serial.to_string()).collect()
    }
}

/// Returns true if S3 says that there is no such object.
///
/// # Errors
/// If S3 answers anything else.
pub async fn is_absent(env: &Env, key: &str) -> anyhow::Result<bool> {
    let bucket = env.config.bucket_name()?;
    let object = env.config.aws.s3()?.get_object().bucket(bucket).key(key).send().await;
    match object {
        Ok(_) => Ok(false),
        Err(error) if error.as_service_error().is_some_and(|it| it.is_no_such_key()) => Ok(true),
        Err(error) => Err(error).context(key.to_owned()),
    }
}

/// Returns the octets of an object.
///
/// # Errors
/// If the object does not exist.
pub async fn get(env: &Env, key: &str) -> anyhow::Result<Vec<u8>> {
    let bucket = env.config.bucket_name()?;
    let object = env.config.aws.s3()?.get_object().bucket(bucket).key(key).send().await;
    let object = object.with_context(|| key.to_owned())?;
    Ok(object.body.collect().await?.to_vec())
}
