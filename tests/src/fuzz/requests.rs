//! HTTP requests, with their headers and bodies: a line with method and path, a line for each header, an empty
//! line, the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fuzz::worlds::{in_shared_world, send};

/// Tries one input.
pub fn requests(data: &[u8]) {
    let end = data.windows(2).position(|it| it == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let Ok(head) = str::from_utf8(head) else {
        return;
    };
    in_shared_world(|world| {
        let head = world.fill(head);
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let (method, path) = first.split_once(' ').unwrap_or_default();
        let template = include_str!("../../../events/enroll.json");
        let mut event: Value = serde_json::from_str(template).expect("an event");
        event["rawPath"] = path.into();
        event["requestContext"]["http"]["path"] = path.into();
        event["requestContext"]["http"]["method"] = method.into();
        let headers = lines.filter_map(|line| line.split_once(": "));
        event["headers"] =
            headers.map(|(name, value)| (name.to_lowercase(), Value::from(value))).collect();
        event["body"] = STANDARD.encode(body).into();
        send(world, &event);
    });
}
