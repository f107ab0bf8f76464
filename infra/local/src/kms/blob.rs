//! Blobs, the binary values of AWS JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Bytes, encoded as base64 in JSON.
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_padded_base64() {
        assert_eq!(serde_json::to_string(&Blob(vec![255, 254])).unwrap(), r#""//4=""#);
        assert_eq!(serde_json::from_str::<Blob>(r#""//4=""#).ok().unwrap().0, [255, 254]);
        assert!(serde_json::from_str::<Blob>(r#""//4""#).is_err());
        assert!(serde_json::from_str::<Blob>(r#""__4=""#).is_err());
    }
}
