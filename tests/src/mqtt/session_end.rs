//! The ways in which a broker ends a session. Everything else that ends one, such as a time-out or a
//! broker that the client does not trust, is a failure of the test.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;

use serde::Deserialize;
use tokio_tungstenite::tungstenite;

/// The way in which a broker refused or ended a session.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The broker sent this TLS alert.
    Alert(String),
    /// The broker refused the MQTT connection, for this reason.
    Connack(String),
    /// The broker closed or reset the connection.
    Closed,
}

/// The outcome of waiting for a message.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// A message with this payload arrived.
    Message(String),
    /// The session is open, and nothing arrived in time.
    Silence,
    /// The broker ended the session.
    Ended(SessionEnd),
}

impl SessionEnd {
    /// Returns how the broker ended the session, or the error if something else did.
    ///
    /// # Errors
    /// If it was not the broker.
    pub(crate) fn by_broker(error: anyhow::Error) -> anyhow::Result<Self> {
        let end = error.chain().find_map(|cause| {
            if let Some(end) = cause.downcast_ref::<Self>() {
                return Some(end.clone());
            }
            if let Some(error) = cause.downcast_ref::<tungstenite::Error>() {
                return Self::of_websocket(error);
            }
            Self::of_io(cause.downcast_ref()?)
        });
        end.ok_or_else(|| error.context("the session was not ended by the broker"))
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        // rustls puts its errors into those of the stream.
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (inner, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => {
                Some(Self::Alert(format!("{alert:?}")))
            }
            (Some(_), _) => None,
            (
                None,
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe,
            ) => Some(Self::Closed),
            (None, _) => None,
        }
    }

    fn of_websocket(error: &tungstenite::Error) -> Option<Self> {
        use tungstenite::error::ProtocolError;
        match error {
            tungstenite::Error::Io(error) => Self::of_io(error),
            tungstenite::Error::ConnectionClosed
            | tungstenite::Error::Protocol(
                ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
            ) => Some(Self::Closed),
            _ => None,
        }
    }
}

impl Display for SessionEnd {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(formatter, "the broker sent the TLS alert {alert}"),
            Self::Connack(reason) => write!(formatter, "the broker's CONNACK refuses: {reason}"),
            Self::Closed => formatter.write_str("the broker closed the connection"),
        }
    }
}

impl Error for SessionEnd {}
