//! KMS over HTTP: AWS JSON 1.1.

use std::{error::Error, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use http_body_util::LengthLimitError;
use serde_json::json;
use tokio::{net::TcpListener, task::spawn_blocking};

use super::{
    address::uuid,
    fault::{Code, Fault},
    service::Service,
};

/// Twice the longest key policy that AWS takes, which is the longest thing in any request.
const BODY_LIMIT: usize = 64 * 1024;

/// The stand-in, with its keys read and its directory taken.
pub struct Kms(Arc<Service>);

impl Kms {
    /// Opens KMS in `region` with the keys in `dir`, which is made if it does not exist and of which
    /// nobody else may make use meanwhile.
    ///
    /// # Errors
    /// When `dir` is in use, cannot be read or is damaged, or `region` is not the name of one.
    pub async fn open(dir: PathBuf, region: String) -> anyhow::Result<Self> {
        // In the background, because it may wait for another process to let go of `dir`.
        let service = spawn_blocking(move || Service::open(dir, &region)).await??;
        Ok(Self(Arc::new(service)))
    }

    /// Answers on `listener` until `shutdown`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/", get(health).post(answer))
            .route("/health", get(health))
            .with_state(self.0);
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await
    }
}

async fn health() -> &'static str {
    "ok"
}

async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    let response = match perform(service, request).await {
        Ok(body) => body.into_response(),
        Err(Fault { code, message }) => {
            let exception = code.exception();
            let body = json!({ "__type": exception, "message": message }).to_string();
            (code.status(), [("x-amzn-errortype", exception)], body).into_response()
        }
    };
    let content_type = (CONTENT_TYPE, "application/x-amz-json-1.1".to_owned());
    let request_id = (HeaderName::from_static("x-amzn-requestid"), uuid());
    ([content_type, request_id], response).into_response()
}

async fn perform(service: Arc<Service>, request: Request) -> Result<Vec<u8>, Fault> {
    let (head, body) = request.into_parts();
    // The body first: a connection on which it still lies unread is of no use for an answer.
    let body = whole(body).await?;
    if !head.headers.contains_key(AUTHORIZATION) {
        return Err(Fault::new(Code::MissingAuthenticationToken, "Missing Authentication Token"));
    }
    let operation = operation(&head.headers)?;
    // It writes to the disk, and waits for its turn to.
    spawn_blocking(move || service.call(&operation, &body)).await.map_err(Fault::internal)?
}

async fn whole(body: Body) -> Result<Bytes, Fault> {
    to_bytes(body, BODY_LIMIT).await.map_err(|error| {
        match error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            true => {
                let message = format!("Request must be smaller than {BODY_LIMIT} bytes");
                Fault::new(Code::RequestEntityTooLarge, message)
            }
            false => Fault::new(Code::Serialization, error.to_string()),
        }
    })
}

fn operation(headers: &HeaderMap) -> Result<String, Fault> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix("TrentService."));
    operation
        .map(str::to_owned)
        .ok_or_else(|| Fault::new(Code::UnknownOperation, "X-Amz-Target names no operation of KMS"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::testing::Kms;

    #[tokio::test]
    async fn says_that_it_is_well() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        for path in ["/", "/health"] {
            let (status, _, body) = kms.request(&format!("GET {path} HTTP/1.1"), "").await;
            assert_eq!((status, body.as_str()), (200, "ok"));
        }
    }

    #[tokio::test]
    async fn speaks_as_aws_does() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let target = "POST / HTTP/1.1\r\nAuthorization: x\r\nX-Amz-Target: TrentService.";
        let (status, head, _) = kms.request(&format!("{target}ListKeys"), "{}").await;
        assert_eq!(status, 200);
        assert!(head.contains("\r\ncontent-type: application/x-amz-json-1.1"), "{head}");
        assert!(head.contains("\r\nx-amzn-requestid: ") && !head.contains("errortype"), "{head}");
        let (status, head, body) = kms.request(&format!("{target}Encrypt"), "{}").await;
        assert_eq!(status, 400);
        assert!(head.contains("\r\nx-amzn-requestid: "), "{head}");
        assert!(head.contains("\r\nx-amzn-errortype: unknownoperationexception"), "{head}");
        assert!(body.contains(r#""__type":"UnknownOperationException""#), "{body}");
    }

    #[tokio::test]
    async fn refuses_what_is_no_request_of_aws() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        for not_json in ["", "{", "[]", r#"{"KeyId":1}"#, "\u{0}"] {
            assert_eq!(kms.refusal("DescribeKey", not_json).await, "SerializationException");
        }
        let unsigned = "POST / HTTP/1.1\r\nX-Amz-Target: TrentService.ListKeys";
        let (status, _, body) = kms.request(unsigned, "{}").await;
        assert_eq!(status, 400);
        assert!(body.contains("MissingAuthenticationTokenException"), "{body}");
        let elsewhere = "POST / HTTP/1.1\r\nAuthorization: x\r\nX-Amz-Target: DynamoDB.ListTables";
        let (status, _, body) = kms.request(elsewhere, "{}").await;
        assert_eq!(status, 400);
        assert!(body.contains("UnknownOperationException"), "{body}");
    }

    #[tokio::test]
    async fn reads_only_so_much() {
        let directory = tempfile::tempdir().unwrap();
        let kms = Kms::start(directory.path()).await;
        let longest = "{}".to_owned() + &" ".repeat(BODY_LIMIT - 2);
        assert_eq!(kms.post("ListKeys", &longest).await.0, 200);
        let (status, body) = kms.post("ListKeys", &(longest + " ")).await;
        assert_eq!(status, 413);
        assert_eq!(body["__type"], "RequestEntityTooLargeException");
    }
}
