//! Events of API Gateway: no request makes a function fail.

use crate::fuzz::worlds::{in_shared_world, send};

/// Tries one input.
pub fn api_events(text: &str) {
    in_shared_world(|world| {
        if let Ok(event) = serde_json::from_str(&world.fill(text)) {
            send(world, &event);
        }
    });
}
