//! The kinds of end-to-end tests, and how a suite lists them.

use std::sync::Arc;

use birthcert_tests::aws::emulators::{Backend, Emulators};
use futures_util::future::LocalBoxFuture;

/// A test that runs against every backend.
pub(crate) struct BackendTest {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<Emulators>, Backend) -> LocalBoxFuture<'static, anyhow::Result<()>>,
}

/// A test that starts its counterparties by itself.
pub(crate) struct StandaloneTest {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> LocalBoxFuture<'static, anyhow::Result<()>>,
}

/// Lists tests of the form `async fn name(emulators: &Emulators, backend: Backend)`.
macro_rules! per_backend {
    ($($test:ident),+ $(,)?) => {
        vec![$($crate::suite::BackendTest {
            name: stringify!($test),
            run: |emulators, backend| Box::pin(async move { $test(&emulators, backend).await }),
        }),+]
    };
}
pub(crate) use per_backend;

/// Lists tests of the form `async fn name()`.
macro_rules! standalone {
    ($($test:ident),+ $(,)?) => {
        vec![$($crate::suite::StandaloneTest { name: stringify!($test), run: || Box::pin($test()) }),+]
    };
}
pub(crate) use standalone;
