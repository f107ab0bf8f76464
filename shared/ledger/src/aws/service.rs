//! Names of the AWS services.

/// An AWS service that birthcert depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsService {
    /// Amazon DynamoDB, the store.
    DynamoDb,
    /// AWS KMS, the signer.
    Kms,
    /// Amazon S3, the bucket.
    S3,
}

impl std::fmt::Display for AwsService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::Kms => "KMS",
            Self::S3 => "S3",
        })
    }
}
