//! The `crl` function on AWS Lambda.

use std::process::ExitCode;

use birthcert::{lambda, trigger, world::World};
use crl::Crl;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |config| {
        let function = Crl::start(&config, World::REAL).await?;
        trigger::run(|trigger| function.handle(trigger)).await
    })
    .await
}
