//! Public keys that may be certified, and key pairs generated for devices.

mod ed25519;
mod fault;
mod kinds;
mod known;
mod pair;
mod public;
mod roca;
mod rsa;
mod signature;

pub use fault::KeyFault;
pub use kinds::{KeyKind, KeyKinds, NoKeyKinds};
pub use pair::KeyPair;
pub use public::PublicKey;
pub use signature::SignatureFault;
