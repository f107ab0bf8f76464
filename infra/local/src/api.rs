//! The API alone, in front of a DynamoDB and a KMS that somebody else runs: `birthcert-local api`.

use std::{net::SocketAddr, sync::Arc};

use enroll::Enroll;
use identity::Identity;
use lambda::{config::Config, runtime::Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::{self, Functions};

/// Serves the functions until SIGINT or SIGTERM, configured as they are in Lambda: by the
/// environment.
///
/// # Errors
/// When a variable is missing, the functions cannot start, or the listener fails.
pub async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let config = Config::read(|name| std::env::var_os(name))?;
    let listener = gateway::listen(listen).await?;
    let functions = Arc::new(Functions {
        world: Runtime::LAMBDA,
        enroll: Enroll::start(&config, Runtime::LAMBDA).await?,
        identity: Identity::start(&config, Runtime::LAMBDA).await?,
        published: None,
    });
    eprintln!("http://{} is ready, for the table {}", listener.local_addr()?, config.table_name);
    let stopped = async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    Ok(gateway::serve(listener, functions, stopped).await?)
}
