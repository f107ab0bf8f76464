use super::BODY_LIMIT;
use crate::kms::testing::TestKms;

#[tokio::test]
async fn reports_its_health() {
    let directory = tempfile::tempdir().unwrap();
    let kms = TestKms::start(directory.path()).await;
    for path in ["/", "/health"] {
        let (status, _, body) = kms.request(&format!("GET {path} HTTP/1.1"), "").await;
        assert_eq!((status, body.as_str()), (200, "ok"));
    }
}

#[tokio::test]
async fn responses_have_the_headers_of_aws() {
    let directory = tempfile::tempdir().unwrap();
    let kms = TestKms::start(directory.path()).await;
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
async fn rejects_malformed_requests() {
    let directory = tempfile::tempdir().unwrap();
    let kms = TestKms::start(directory.path()).await;
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
async fn limits_the_size_of_requests() {
    let directory = tempfile::tempdir().unwrap();
    let kms = TestKms::start(directory.path()).await;
    let longest = "{}".to_owned() + &" ".repeat(BODY_LIMIT - 2);
    assert_eq!(kms.post("ListKeys", &longest).await.0, 200);
    let (status, body) = kms.post("ListKeys", &(longest + " ")).await;
    assert_eq!(status, 413);
    assert_eq!(body["__type"], "RequestEntityTooLargeException");
}
