//! Pagination of list operations.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    error::{ErrorCode, KmsError},
    validation::check_range,
};

/// One page of a list, and the marker of the next page if there is one.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next_marker: Option<String>,
}

/// The maximum and the default number of entries on a page.
pub(super) struct PageLimits {
    pub(super) max: i64,
    pub(super) default: i64,
}

impl PageLimits {
    /// Returns the page that follows `marker`. A marker encodes the name of the last entry of the
    /// previous page, so that a list that changes in between neither repeats nor skips an entry.
    ///
    /// # Errors
    /// If `limit` is out of bounds or `marker` is invalid.
    pub(super) fn page<'a, T>(
        &self,
        sorted: impl Iterator<Item = (&'a str, T)>,
        limit: Option<i64>,
        marker: Option<&str>,
    ) -> Result<Page<T>, KmsError> {
        let limit = limit.unwrap_or(self.default);
        check_range(limit, "limit", 1..=self.max)?;
        let after = marker.map(decode).transpose()?;
        let mut rest = sorted
            .skip_while(|(name, _)| after.as_deref().is_some_and(|after| *name <= after))
            .peekable();
        let mut page = Page { items: Vec::new(), next_marker: None };
        for (name, item) in rest.by_ref().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            page.items.push(item);
            page.next_marker = Some(URL_SAFE_NO_PAD.encode(name));
        }
        if rest.peek().is_none() {
            page.next_marker = None;
        }
        Ok(page)
    }
}

fn decode(marker: &str) -> Result<String, KmsError> {
    let name = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|name| String::from_utf8(name).ok());
    name.ok_or_else(|| KmsError::new(ErrorCode::InvalidMarker, "Invalid marker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PageLimits = PageLimits { max: 3, default: 2 };

    fn page(
        names: &[&str],
        limit: Option<i64>,
        marker: Option<&str>,
    ) -> Result<Page<()>, KmsError> {
        LIMITS.page(names.iter().map(|name| (*name, ())), limit, marker)
    }

    #[test]
    fn a_list_that_fits_on_one_page_has_no_marker() {
        for names in [&[][..], &["a"], &["a", "b"]] {
            let page = page(names, None, None).ok().unwrap();
            assert_eq!((page.items.len(), page.next_marker), (names.len(), None));
        }
    }

    #[test]
    fn continues_after_the_last_entry_even_if_it_was_deleted() {
        let first = page(&["a", "b", "c"], None, None).ok().unwrap();
        let marker = first.next_marker.unwrap();
        let rest = page(&["a", "c"], None, Some(&marker)).ok().unwrap();
        assert_eq!((rest.items.len(), rest.next_marker), (1, None));
    }

    #[test]
    fn rejects_invalid_limits_and_markers() {
        let refused = |limit, marker| page(&[], limit, marker).err().unwrap().code.exception();
        assert_eq!(refused(Some(0), None), "ValidationException");
        assert_eq!(refused(Some(4), None), "ValidationException");
        assert_eq!(refused(None, Some("alias/x")), "InvalidMarkerException");
    }
}
