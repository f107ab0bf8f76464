//! The functions that fuzz targets call, in worlds without faults.

use std::cell::RefCell;
use std::sync::LazyLock;

use serde_json::Value;

use crate::faults::Fixture;
use crate::faults::calm::{ApiResponse, Calm};

/// Inputs that share a world. A world remembers all of them, so it cannot serve forever.
const INPUTS: u32 = 1_000;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| Fixture::make().expect("a fixture"));

thread_local! {
    /// A world, and the number of inputs that it still serves.
    static SHARED: RefCell<Option<(u32, Calm)>> = const { RefCell::new(None) };
}

/// Returns a new world.
pub(super) fn world() -> Calm {
    Calm::create(&FIXTURE).expect("a world")
}

/// Calls `act` with a world that others used before.
pub(super) fn in_shared_world(act: impl FnOnce(&Calm)) {
    SHARED.with_borrow_mut(|shared| {
        let (left, world) = match shared.take() {
            Some((left, world)) if left > 0 => (left, world),
            _ => (INPUTS, world()),
        };
        act(&world);
        *shared = Some((left - 1, world));
    });
}

/// Sends an event to the functions of the API.
///
/// # Panics
/// If one does not answer, answers with an error of its own, or refuses without a problem document (RFC 9457).
pub(super) fn send(world: &Calm, event: &Value) {
    for ApiResponse { status, body } in world.send(event) {
        assert!((200..500).contains(&status), "{status}: {body}");
        assert!(status < 300 || body["type"].is_string() && body["status"] == status, "{body}");
    }
}
