//! The `enroll` function on AWS Lambda.

use std::process::ExitCode;

use enroll::Enroll;
use lambda::runtime::Runtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::function::main(async |config| {
        let function = Enroll::start(&config, Runtime::LAMBDA).await?;
        lambda::function::run(Runtime::LAMBDA, |request| function.handle(request)).await
    })
    .await
}
