//! A stand-in for Amazon S3 and the CDN in front of it, for development.
//!
//! The stand-in serves one bucket with the S3 operations that publishing needs: `PutObject`,
//! `GetObject` and `HeadObject`. It guarantees what publishers rely on: a condition (`If-Match`,
//! `If-None-Match: *`) and the write that it guards are atomic, an object and its metadata are
//! replaced together, and a body that differs from the signed one is rejected.
//!
//! The differences from S3: every client is authorized, and there are no object versions.

mod cdn;
mod error;
mod get;
mod objects;
mod s3;

pub(crate) use cdn::published;
pub use objects::Objects;
pub use s3::{respond, serve};
