//! Identifiers and names of devices, projects, services and networks.

mod address;
mod distinguished;
mod host;
mod id;
mod invisible;
mod label;
mod organization;

pub use address::{AddressRange, AddressRanges, InvalidRange, InvalidRanges};
pub use distinguished::distinguished;
pub use host::{Host, InvalidHost};
pub(crate) use id::ID_LENGTH;
pub use id::{
    DeviceId, DeviceKind, Id, IdKind, InvalidId, ProjectId, ProjectKind, TokenId, TokenKind,
};
pub use label::{InvalidLabel, Label};
pub use organization::{InvalidOrganization, Organization};
