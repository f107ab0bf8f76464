//! The HTTP server of the KMS API (AWS JSON 1.1).

use std::{error::Error, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use http_body_util::LengthLimitError;
use serde_json::json;
use tokio::{net::TcpListener, task::spawn_blocking};

use super::{
    error::{ErrorCode, KmsError},
    identifier::uuid,
    key_store::KeyStore,
    operations,
};

/// Twice the maximum length of a key policy in AWS, the longest member of any request.
const BODY_LIMIT: usize = 64 * 1024;

/// A stand-in for KMS that is ready to serve.
pub struct Kms(Arc<KeyStore>);

impl Kms {
    /// Opens the keys in `directory` for exclusive use, and creates the directory if it does not
    /// exist.
    ///
    /// # Errors
    /// If `directory` is in use, unreadable or damaged, or `region` is not a valid region name.
    pub async fn open(directory: PathBuf, region: String) -> anyhow::Result<Self> {
        // Blocking, because it may wait for another process to release the directory.
        let store = spawn_blocking(move || KeyStore::open(directory, &region)).await??;
        Ok(Self(Arc::new(store)))
    }

    /// Performs an operation without HTTP. Returns the status and the body of the response.
    #[must_use]
    pub fn call(&self, operation: &str, request: &[u8]) -> (StatusCode, Vec<u8>) {
        match operations::call(&self.0, operation, request) {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => (error.code.status(), error_body(&error).into_bytes()),
        }
    }

    /// Serves the API on `listener` until `shutdown` completes.
    ///
    /// # Errors
    /// If the listener fails.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/", get(health).post(handle))
            .route("/health", get(health))
            .with_state(self.0);
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }
}

async fn health() -> &'static str {
    "ok"
}

async fn handle(State(store): State<Arc<KeyStore>>, request: Request) -> Response {
    let response = match perform(store, request).await {
        Ok(body) => body.into_response(),
        Err(error) => {
            let exception = error.code.exception();
            (error.code.status(), [("x-amzn-errortype", exception)], error_body(&error))
                .into_response()
        }
    };
    let content_type = (CONTENT_TYPE, "application/x-amz-json-1.1".to_owned());
    let request_id = (HeaderName::from_static("x-amzn-requestid"), uuid());
    ([content_type, request_id], response).into_response()
}

fn error_body(error: &KmsError) -> String {
    json!({ "__type": error.code.exception(), "message": error.message }).to_string()
}

async fn perform(store: Arc<KeyStore>, request: Request) -> Result<Vec<u8>, KmsError> {
    let (head, body) = request.into_parts();
    // The body is read before anything is refused: a connection with an unread body cannot carry the
    // response.
    let body = read_body(body).await?;
    if !head.headers.contains_key(AUTHORIZATION) {
        return Err(KmsError::new(
            ErrorCode::MissingAuthenticationToken,
            "Missing Authentication Token",
        ));
    }
    let operation = operation(&head.headers)?;
    // Operations lock the key store and write to disk.
    spawn_blocking(move || operations::call(&store, &operation, &body))
        .await
        .map_err(KmsError::internal)?
}

async fn read_body(body: Body) -> Result<Bytes, KmsError> {
    to_bytes(body, BODY_LIMIT).await.map_err(|error| {
        match error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            true => {
                let message = format!("Request must be smaller than {BODY_LIMIT} bytes");
                KmsError::new(ErrorCode::RequestEntityTooLarge, message)
            }
            false => KmsError::new(ErrorCode::Serialization, error.to_string()),
        }
    })
}

fn operation(headers: &HeaderMap) -> Result<String, KmsError> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix("TrentService."));
    operation.map(str::to_owned).ok_or_else(|| {
        KmsError::new(ErrorCode::UnknownOperation, "X-Amz-Target names no operation of KMS")
    })
}

#[cfg(test)]
mod tests;
