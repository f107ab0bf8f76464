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
//! | `published` | reads back what is published, and verifies it |
//! | `crl_content` | reads the revoked certificates of a CA from the ledger, and compares them with what is published |
//! | `deny_list` | the deny list, as text and as mosquitto's access rules |
//! | `ca_index` | publishes the CAs' certificates and the index of all CAs |
//! | `objects` | keys, content types and cache lifetimes of the objects in the bucket |
//!
//! Concurrent publishers are safe, however far the index of revocations lags behind the table. Each builds its
//! CRL on the published one: what that has and the index has not is looked up on the ledger, and stays unless
//! it was released. The bucket replaces only the very CRL that the new one was built on.

mod ca_index;
mod crl_content;
mod deny_list;
mod objects;
mod publication;
mod published;
mod publisher;

pub use publisher::Publisher;
