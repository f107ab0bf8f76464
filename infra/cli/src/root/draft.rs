//! Keys in drafts of certificates.

/// The relation of a draft's key to the key that will be certified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DraftKey {
    /// The key in the draft will be certified.
    Known,
    /// The key does not exist yet; the draft has a placeholder.
    Planned,
    /// The key exists, but is locked; the draft has a placeholder.
    Locked,
}
