//! Items of the table, which anybody may have written who can write it: whatever one says, every function and
//! every command still ends, and the device can be revoked.

use ledger::Error;
use serde_json::{Value, json};

use crate::fuzz::worlds::world;

/// Tries one input.
pub fn table_items(text: &str) {
    let is_item = |it: &Value| it["PK"]["S"].is_string() && it["SK"]["S"].is_string();
    if !serde_json::from_str(text).is_ok_and(|it: Value| is_item(&it)) {
        return;
    }
    let world = world();
    let Ok(item) = serde_json::from_str(&world.fill(text)) else {
        return;
    };
    if !world.put(&item) {
        return;
    }
    world.read_everything();
    for event in
        [include_str!("../../../events/enroll.json"), include_str!("../../../events/identity.json")]
    {
        let event = serde_json::from_str(&world.fill(event)).expect("an event");
        world.send(&event);
    }
    world.publish(json!({}));
    let revoked = world.revoke();
    assert!(matches!(revoked, Ok(()) | Err(Error::Damaged(_))), "{revoked:?}");
    assert!(world.is_out());
    world.publish(json!({}));
}
