//! A stand-in for Amazon S3 and the CDN in front of it, for development: one bucket, and of S3's
//! operations those that publish: `PutObject`, `GetObject` and `HeadObject`.
//!
//! It keeps what publishers rely on: a condition (`If-Match`, `If-None-Match: *`) and the write that it
//! guards are one step, an object and its metadata are replaced together or not at all, and a body that
//! is not the one that was signed for is refused. Where it differs: whoever reaches it may use it, and it
//! keeps no older versions.

mod files;
mod server;

pub use files::Files;
pub use server::{published, serve};
