//! The validity of CRLs.

/// The validity of a CRL in seconds: 7 days. CRLs are renewed when they are 12 hours old, so a publisher may fail
/// for at least six days before brokers refuse every device.
pub const VALIDITY_SECONDS: u64 = 7 * 24 * 60 * 60;

/// The age of a new CRL by its `thisUpdate`, in seconds: 5 minutes. Brokers refuse *every device* if a CRL
/// is not yet valid. A CRL reaches them within seconds, and some clocks are slow by more.
pub const BACKDATED_SECONDS: u64 = 5 * 60;

/// The time for which a CRL still lists a certificate after its expiry, in seconds: a day, twice the age at
/// which CRLs are renewed. RFC 5280, section 3.3, requires each revoked certificate in one CRL that is issued
/// after its expiry.
pub const KEEP_EXPIRED_SECONDS: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_times_are_what_the_documentation_says() {
        for (seconds, since_1970) in [
            (VALIDITY_SECONDS, "1970-01-08T00:00:00Z"),
            (BACKDATED_SECONDS, "1970-01-01T00:05:00Z"),
            (KEEP_EXPIRED_SECONDS, "1970-01-02T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::from_unix(seconds).to_string(), since_1970);
        }
    }
}
