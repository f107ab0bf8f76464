//! Publishes CRLs, the deny list, and the certificates of the CAs.
//!
//! An operator's command writes a request into the table. The table's stream then invokes the function
//! within a second. A schedule invokes it every hour, because the grace period of a superseded
//! certificate ends without a request.
//!
//! | module | contents |
//! |---|---|
//! | `publisher` | one invocation: finds the CRLs that are requested or due, and repeats for late requests |
//! | `publication` | the five steps that publish one CRL |
//! | `crl_content` | reads the revoked certificates of a CA from the ledger |
//! | `deny_list` | the deny list, as text and as mosquitto's access rules |
//! | `ca_index` | publishes the CAs' certificates and the index of all CAs |
//! | `objects` | keys, content types and cache lifetimes of the objects in the bucket |
//!
//! Concurrent publishers are safe. Each takes a CRL number from the table *before* it reads the ledger,
//! so the CRL with the higher number contains every revocation of the lower one. The bucket never
//! replaces a higher number with a lower one.

mod ca_index;
mod crl_content;
mod deny_list;
mod objects;
mod publication;
mod publisher;

pub use publisher::Publisher;
