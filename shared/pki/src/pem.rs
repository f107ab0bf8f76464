//! PEM blocks in texts (RFC 7468).

/// The beginning of every block.
pub(crate) const BEGIN: &str = "-----BEGIN ";

/// The reason why a text does not have one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockFault {
    /// The text has no block.
    None,
    /// The text has several blocks.
    Several,
}

impl From<BlockFault> for String {
    fn from(fault: BlockFault) -> Self {
        match fault {
            BlockFault::None => "not PEM: it has no BEGIN line".into(),
            BlockFault::Several => "it has more than one PEM block".into(),
        }
    }
}

/// Returns a text from the BEGIN line of its only block on.
///
/// Text before that line, such as a byte order mark or the content in words, is not part of the block (RFC
/// 7468, section 2). Several blocks are refused, because their sender may mean another one than a reader.
pub(crate) fn only_block(text: &str) -> Result<&str, BlockFault> {
    let mut blocks = text.match_indices(BEGIN);
    let (begin, _) = blocks.next().ok_or(BlockFault::None)?;
    match blocks.next() {
        None => Ok(&text[begin..]),
        Some(_) => Err(BlockFault::Several),
    }
}
