//! What happened, for the log: one line of JSON an event.
//!
//! Events are typed so that nothing gets into the log that was not meant to: ids and serial numbers,
//! never tokens or keys.

use serde::Serialize;

use crate::{
    clock::Timestamp,
    error::Error,
    id::{DeviceId, ProjectId, TokenId},
    world::World,
};

/// Something that happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A device came in on an enrollment token.
    Enrolled {
        /// The project it belongs to.
        project_id: ProjectId,
        /// The device.
        device_id: DeviceId,
        /// The token it came in on.
        token_id: TokenId,
    },
    /// A certificate was released to a device.
    Issued {
        /// The project it belongs to.
        project_id: ProjectId,
        /// The device.
        device_id: DeviceId,
        /// Of the certificate, in hex.
        serial_number: &'a str,
        /// End of its validity.
        not_after: Timestamp,
    },
    /// A request was refused: the caller's fault.
    Refused {
        /// The kind in the error catalogue.
        problem: &'a str,
        /// Why, in more words than the caller is told.
        cause: String,
    },
    /// A request failed: not the caller's fault.
    Failed {
        /// The kind in the error catalogue.
        problem: &'a str,
        /// Why.
        cause: String,
    },
    /// A function starts without something that it will need.
    Delayed {
        /// What, and why.
        cause: String,
    },
    /// A function cannot start.
    Unable {
        /// Why.
        cause: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    /// Under the name that Lambda's JSON logs have for it.
    timestamp: String,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl<'a> Event<'a> {
    /// A request that came to nothing.
    #[must_use]
    pub fn of_error(error: &Error, problem: &'a str, is_server_error: bool) -> Self {
        let cause = error.to_string();
        if is_server_error {
            Self::Failed { problem, cause }
        } else {
            Self::Refused { problem, cause }
        }
    }

    /// Writes it to the log.
    pub fn log(&self, world: World, request_id: Option<&str>) {
        let level = match self {
            Self::Enrolled { .. } | Self::Issued { .. } => "INFO",
            Self::Refused { .. } | Self::Delayed { .. } => "WARN",
            Self::Failed { .. } | Self::Unable { .. } => "ERROR",
        };
        let line = Line { timestamp: world.now().to_string(), level, request_id, event: self };
        if let Ok(line) = serde_json::to_string(&line) {
            (world.log)(&line);
        }
    }
}
