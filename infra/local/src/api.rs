//! The API alone, in front of DynamoDB and KMS endpoints that run elsewhere: `birthcert-local api`.

use std::{net::SocketAddr, sync::Arc};

use enroll::Enroll;
use identity::Identity;
use lambda::{config::Config, runtime::Runtime};

use crate::{
    gateway::{self, Functions},
    signals::ShutdownSignals,
};

/// Serves the functions until SIGINT or SIGTERM. The environment configures them as in Lambda.
///
/// # Errors
/// If an environment variable is missing, a function does not start, or the listener fails.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let mut signals = ShutdownSignals::install()?;
    let config = Config::read(|name| std::env::var_os(name))?;
    let listener = gateway::listen(listen).await?;
    let functions = Arc::new(Functions {
        runtime: Runtime::LAMBDA,
        enroll: Enroll::start(&config, Runtime::LAMBDA).await?,
        identity: Identity::start(&config, Runtime::LAMBDA).await?,
        published: None,
    });
    eprintln!("http://{} is ready; table {}", listener.local_addr()?, config.table_name);
    let shutdown = async move { signals.received().await };
    Ok(gateway::serve(listener, functions, shutdown).await?)
}
