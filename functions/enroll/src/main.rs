//! The `enroll` function on AWS Lambda.

use std::process::ExitCode;

use birthcert::{lambda, world::World};
use enroll::Enroll;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |config| {
        let function = Enroll::start(&config, World::REAL).await?;
        lambda::run(World::REAL, |request| function.handle(request)).await
    })
    .await
}
