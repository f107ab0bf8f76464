//! Fault schedules: devices, operators and publishers run at once against the functions that ship,
//! while calls to AWS fail, and functions are killed, as a seed says. At the end, the ledger, KMS,
//! the bucket and the clients' answers are held against the promises of the project.
//!
//! Everything is in one thread and in virtual time: the AWS SDK's HTTP client is replaced by
//! `wire`, behind which are the embedded DynamoDB and the stand-ins for KMS and S3. One seed
//! therefore gives one order of events, and hours of backoff and grace periods take no time.
//!
//! | module | contents |
//! |---|---|
//! | [`schedule`] | one schedule, from its seed to the properties |
//! | `random` | the random numbers that follow from the seed |
//! | `clock` | the virtual clock |
//! | `fault` | the kinds of faults, and which call is hit |
//! | `wire` | delivers a call of the SDK, with its fault |
//! | `dynamodb`, `bucket` | the embedded engines behind the wire |
//! | `answers` | error responses of AWS |
//! | `function` | invocations as Lambda runs them: cold starts, time-outs, kills and freezes |
//! | `device`, `operator`, `publisher` | those who act |
//! | `world` | what they share |
//! | `history` | what happened |
//! | `properties` | what must hold |
//! | [`calm`] | a world without faults, for the fuzz targets |
//! | `fixture`, `config`, `roles` | the CA, made once per process; the functions' configuration and roles |

mod answers;
mod bucket;
pub mod calm;
mod clock;
mod config;
mod device;
mod dynamodb;
mod fault;
mod fixture;
mod function;
mod history;
mod operator;
mod properties;
mod publisher;
mod random;
mod roles;
pub mod schedule;
mod wire;
mod world;

pub use fixture::Fixture;
