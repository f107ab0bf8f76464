//! The `crl` function on AWS Lambda.

use std::process::ExitCode;

use crl::Publisher;
use lambda::{runtime::Runtime, stream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::function::main(async |config| {
        let function = Publisher::start(&config, Runtime::LAMBDA).await?;
        stream::run(|trigger| function.handle(trigger)).await
    })
    .await
}
