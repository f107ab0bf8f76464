//! The `identity` function on AWS Lambda.

use std::process::ExitCode;

use birthcert::{lambda, world::World};
use identity::Identity;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |config| {
        let function = Identity::start(&config, World::REAL).await?;
        lambda::run(World::REAL, |request| function.handle(request)).await
    })
    .await
}
