//! The configuration of the functions, whose calls go to the wire.

use birthcert_local::stack::CREDENTIAL;
use lambda::config::Config;
use ledger::aws::{AwsConfig, Credentials};
use pki::authority::Roots;

use crate::faults::bucket::BUCKET;
use crate::faults::wire::Wire;

/// The table's name.
pub(super) const TABLE: &str = "birthcert-faults";

/// Returns the configuration of the functions.
pub(super) fn config(wire: &Wire, seed: u64) -> Config {
    let endpoint = |service: &str| Some(format!("http://{service}.faults.invalid"));
    Config {
        aws: AwsConfig {
            // The SDK shares its retry quota between all clients in one region of this process. With
            // a region of its own, a schedule does not depend on those before.
            region: format!("faults-{seed}"),
            credentials: Credentials::new(CREDENTIAL, CREDENTIAL, None, None, "tests"),
            endpoint_dynamodb: endpoint("dynamodb"),
            endpoint_kms: endpoint("kms"),
            endpoint_s3: endpoint("s3"),
            ca_bundle: None,
            http_client: Some(wire.http_client()),
        },
        table_name: TABLE.into(),
        bucket_name: Some(BUCKET.into()),
        roots: Roots::default(),
    }
}
