//! The operations of the KMS API, without HTTP.

mod aliases;
mod key_state;
mod keys;
mod sign;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::{ErrorCode, KmsError},
    key_store::KeyStore,
};

/// Performs an operation. The response of an operation without output is empty.
pub(super) fn call(store: &KeyStore, operation: &str, request: &[u8]) -> Result<Vec<u8>, KmsError> {
    match operation {
        "CancelKeyDeletion" => encode(&store.cancel_key_deletion(decode(request)?)?),
        "CreateAlias" => store.create_alias(decode(request)?).map(|()| Vec::new()),
        "CreateKey" => encode(&store.create_key(decode(request)?)?),
        "DeleteAlias" => store.delete_alias(decode(request)?).map(|()| Vec::new()),
        "DescribeKey" => encode(&store.describe_key(decode(request)?)?),
        "DisableKey" => store.disable_key(decode(request)?).map(|()| Vec::new()),
        "EnableKey" => store.enable_key(decode(request)?).map(|()| Vec::new()),
        "GetPublicKey" => encode(&store.public_key(decode(request)?)?),
        "ListAliases" => encode(&store.list_aliases(decode(request)?)?),
        "ListKeys" => encode(&store.list_keys(decode(request)?)?),
        "ScheduleKeyDeletion" => encode(&store.schedule_key_deletion(decode(request)?)?),
        "Sign" => encode(&store.sign(decode(request)?)?),
        "UpdateAlias" => store.update_alias(decode(request)?).map(|()| Vec::new()),
        _ => {
            let message = format!("{operation} is not an operation of this stand-in for KMS");
            Err(KmsError::new(ErrorCode::UnknownOperation, message))
        }
    }
}

fn decode<T: DeserializeOwned>(request: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(request)
        .map_err(|error| KmsError::new(ErrorCode::Serialization, error.to_string()))
}

fn encode(response: &impl Serialize) -> Result<Vec<u8>, KmsError> {
    Ok(serde_json::to_vec(response)?)
}
