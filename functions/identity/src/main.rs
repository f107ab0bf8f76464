//! The `identity` function on AWS Lambda.

use std::process::ExitCode;

use birthcert::{clock::Timestamp, config::Config, lambda};
use identity::Identity;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async {
        let config = Config::from_env()?;
        let function = Identity::start(&config, Timestamp::now).await?;
        lambda::run(|request| function.handle(request)).await
    })
    .await
}
