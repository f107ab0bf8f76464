//! An external CA, made with OpenSSL.

use std::fs;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::process::tool;

/// Extensions of a subordinate of ours.
pub const SUBORDINATE: &str = "basicConstraints = critical, CA:TRUE, pathlen:0\n\
    keyUsage = critical, keyCertSign, cRLSign\n\
    extendedKeyUsage = clientAuth\n\
    crlDistributionPoints = URI:http://pki.example.com/corporate.crl\n\
    subjectKeyIdentifier = hash\n\
    authorityKeyIdentifier = keyid\n";

/// Extensions of a CA with CAs below it.
pub const CA: &str = "basicConstraints = critical, CA:TRUE\n\
    keyUsage = critical, digitalSignature, keyCertSign, cRLSign\n\
    subjectKeyIdentifier = hash\n\
    authorityKeyIdentifier = keyid\n";

/// A CA's key and signature algorithms, as arguments of OpenSSL.
#[derive(Clone, Copy, Debug)]
pub struct KeyType {
    /// Arguments for `openssl genpkey`.
    pub key: &'static [&'static str],
    /// Arguments for `openssl x509`.
    pub signature: &'static [&'static str],
}

/// The usual algorithms of roots.
pub const RSA_4096: KeyType = KeyType {
    key: &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    signature: &["-sha256"],
};

/// A CA with its key.
pub struct CorporateCa {
    folder: TempDir,
    key_type: KeyType,
}

impl CorporateCa {
    /// Creates a root with these extensions.
    ///
    /// # Errors
    /// If OpenSSL is missing or refuses.
    pub async fn root(name: &str, key_type: KeyType, extensions: &str) -> anyhow::Result<Self> {
        let ca = Self::with_key(name, key_type).await?;
        let key = ca.file("key.pem")?;
        let sign = ["-signkey", &key];
        ca.x509("ca.csr", "ca.pem", &sign, key_type, 50 * 365, extensions).await?;
        Ok(ca)
    }

    /// Creates a CA below this one.
    ///
    /// # Errors
    /// As [`CorporateCa::root`].
    pub async fn below(
        &self,
        name: &str,
        key_type: KeyType,
        days: u32,
        extensions: &str,
    ) -> anyhow::Result<Self> {
        let ca = Self::with_key(name, key_type).await?;
        let pem = self.certify(&fs::read_to_string(ca.file("ca.csr")?)?, days, extensions).await?;
        fs::write(ca.file("ca.pem")?, pem)?;
        Ok(ca)
    }

    /// Certifies a CSR.
    ///
    /// # Errors
    /// As [`CorporateCa::root`].
    pub async fn certify(&self, csr: &str, days: u32, extensions: &str) -> anyhow::Result<String> {
        let Self { key_type, .. } = *self;
        fs::write(self.file("in.csr")?, csr)?;
        let (ca, key) = (self.file("ca.pem")?, self.file("key.pem")?);
        let sign = ["-CA", &ca, "-CAkey", &key, "-CAcreateserial"];
        self.x509("in.csr", "out.pem", &sign, key_type, days, extensions).await?;
        Ok(fs::read_to_string(self.file("out.pem")?)?)
    }

    /// Returns the CA's certificate.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn pem(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.file("ca.pem")?)?)
    }

    async fn with_key(name: &str, key_type: KeyType) -> anyhow::Result<Self> {
        let ca = Self { folder: TempDir::new()?, key_type };
        let (key, csr) = (ca.file("key.pem")?, ca.file("ca.csr")?);
        let make =
            ["genpkey", "-quiet", "-out", &key].into_iter().chain(key_type.key.iter().copied());
        openssl(make).await?;
        let subject = format!("/O=Corporation/CN={name}");
        openssl(["req", "-new", "-key", &key, "-subj", &subject, "-out", &csr]).await?;
        Ok(ca)
    }

    async fn x509(
        &self,
        csr: &str,
        out: &str,
        sign: &[&str],
        key_type: KeyType,
        days: u32,
        extensions: &str,
    ) -> anyhow::Result<()> {
        let (csr, out, config) = (self.file(csr)?, self.file(out)?, self.file("extensions")?);
        fs::write(&config, extensions)?;
        let days = days.to_string();
        let args = ["x509", "-req", "-in", &csr, "-out", &out, "-extfile", &config, "-days", &days];
        openssl(
            args.into_iter().chain(sign.iter().copied()).chain(key_type.signature.iter().copied()),
        )
        .await
    }

    fn file(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.folder.path().join(name).to_str().context("UTF-8")?.to_owned())
    }
}

async fn openssl<'a>(args: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    let ran = tool::run("openssl", args).await?;
    ensure!(ran.status.success(), "openssl: {}", ran.output);
    Ok(())
}
