//! Reasons for which a public key is refused.

/// Why a key is not certified, in words for the one whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Another algorithm, or another curve.
    #[error("the key is of another kind than P-256, P-384, Ed25519 and RSA")]
    Kind,
    /// Parameters that should not be there, a compressed point, bits too many: a second encoding
    /// would let one key pass for two.
    #[error(
        "the key is not encoded as RFC 5480, RFC 8410 or RFC 8017 says, with its point uncompressed"
    )]
    Encoding,
    /// The point is not on its curve (SP 800-56A, section 5.6.2.3.3).
    #[error("the key is not a point on its curve")]
    OffCurve,
    /// With a point of small order anybody can make signatures.
    #[error("the key is an Ed25519 point of small order")]
    SmallOrder,
    /// Too small to be safe, or too large to be worth it.
    #[error("an RSA modulus must have 2048 to 4096 bits, in whole octets")]
    RsaSize,
    /// Another public exponent.
    #[error("the public exponent of an RSA key must be 65537")]
    RsaExponent,
    /// No product of two large primes.
    #[error("the RSA modulus has a small factor")]
    RsaFactor,
    /// Made by a library whose primes can be guessed (CVE-2017-15361).
    #[error("the RSA key was made by a library with the ROCA flaw (CVE-2017-15361)")]
    Roca,
    /// Its private half is printed somewhere.
    #[error("the private half of this key is public: it is an example of an RFC")]
    Known,
}
