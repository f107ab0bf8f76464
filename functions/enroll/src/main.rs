//! The `enroll` function on AWS Lambda.

use std::process::ExitCode;

use birthcert::{clock::Timestamp, config::Config, lambda};
use enroll::Enroll;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async {
        let config = Config::from_env()?;
        let function = Enroll::start(&config, Timestamp::now)?;
        lambda::run(|request| function.handle(request)).await
    })
    .await
}
