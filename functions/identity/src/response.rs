//! The response of `/identity`.

use lambda::Result;
use pki::{authority::Authority, certificate::Certificate, key::KeyPair, names::DeviceId};
use serde::Serialize;
use zeroize::Zeroizing;

#[derive(Serialize)]
pub(crate) struct IdentityResponse {
    device_id: DeviceId,
    device_certificate_pem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_private_key_pem: Option<Zeroizing<String>>,
    certificate_chain_pem: String,
    ca_certificate_pem: String,
    serial_number: String,
    not_before: String,
    not_after: String,
}

impl IdentityResponse {
    /// Creates the response that releases `certificate`, with the private key if it was generated here.
    pub(crate) fn new(
        device_id: DeviceId,
        private_key: Option<&KeyPair>,
        certificate: &Certificate,
        authority: &Authority,
    ) -> Result<Self> {
        let leaf = certificate.pem()?;
        Ok(Self {
            device_id,
            certificate_chain_pem: format!("{leaf}{}", authority.chain_pem()),
            device_certificate_pem: leaf,
            device_private_key_pem: private_key.map(KeyPair::private_key_pem).transpose()?,
            ca_certificate_pem: authority.root_pem().to_owned(),
            serial_number: certificate.serial_number().to_owned(),
            not_before: certificate.not_before().to_string(),
            not_after: certificate.not_after().to_string(),
        })
    }
}
