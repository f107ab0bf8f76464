//! The clock of an offline machine, which nothing sets: the certificates of a ceremony have its time for decades.

use std::{
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use pki::{authority::ChainCertificate, clock::Timestamp};

/// 2026-11-01T00:00:00Z. No build of this program is older. Raise it with each release.
const RELEASED: Timestamp = Timestamp::from_unix(1_793_491_200);
/// The date of a reproducible build, in seconds since 1970.
const SOURCE_DATE_EPOCH: Option<&str> = option_env!("SOURCE_DATE_EPOCH");
const DAY: u64 = 24 * 60 * 60;
/// Longer than anybody holds a ceremony with the same build.
const LONG: u64 = 10 * 365 * DAY;
/// Sticks are formatted with FAT, which has local times.
const TIME_ZONES: u64 = DAY;

/// Returns remarks about a clock that cannot be right: it is before this program was built or long after, before
/// one of the files `inputs` was written, or before the root was valid.
pub(crate) fn remarks<'a>(
    now: Timestamp,
    inputs: impl IntoIterator<Item = &'a Path>,
    root: Option<&ChainCertificate>,
) -> Vec<String> {
    let mut reasons = against(now, built_at(SOURCE_DATE_EPOCH));
    for path in inputs {
        let written = written_at(path).filter(|written| *written > now.plus(TIME_ZONES));
        reasons.extend(written.map(|written| format!("{} was written {written}", path.display())));
    }
    let not_before = root.map(ChainCertificate::not_before).filter(|it| *it > now);
    reasons.extend(not_before.map(|it| format!("the root is not valid before {it}")));
    let check = "check the date before you sign for decades";
    reasons.iter().map(|reason| format!("the clock says {now}, but {reason}: {check}")).collect()
}

/// Prints remarks when a command is applied, because the plan is not.
pub(crate) fn warn(remarks: &[String]) {
    for remark in remarks {
        eprintln!("Warning: {remark}.");
    }
}

fn against(now: Timestamp, built_at: Timestamp) -> Vec<String> {
    if now < built_at {
        return vec![format!("this program was built {built_at} or later")];
    }
    if now > built_at.plus(LONG) {
        return vec![format!("this program was built {built_at}, more than ten years before")];
    }
    Vec::new()
}

fn built_at(epoch: Option<&str>) -> Timestamp {
    let given = epoch.and_then(|text| text.parse().ok()).map(Timestamp::from_unix);
    given.map_or(RELEASED, |given| given.max(RELEASED))
}

fn written_at(path: &Path) -> Option<Timestamp> {
    // A file that cannot be read is an error elsewhere.
    let modified = fs::metadata(path).and_then(|it| it.modified()).ok()?;
    let elapsed = modified.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Some(Timestamp::from_unix(elapsed.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_build_date_is_given_or_that_of_the_release() {
        let later = RELEASED.plus(DAY);
        assert_eq!(built_at(None), RELEASED);
        assert_eq!(built_at(Some(&later.unix().to_string())), later);
        for text in ["0", "", "tomorrow"] {
            assert_eq!(built_at(Some(text)), RELEASED, "{text}");
        }
        assert_eq!(RELEASED.to_string(), "2026-11-01T00:00:00Z");
    }

    #[test]
    fn a_clock_before_the_build_or_long_after_it_is_named() {
        let before = against(RELEASED.minus(1), RELEASED);
        assert_eq!(before, ["this program was built 2026-11-01T00:00:00Z or later"]);
        for right in [RELEASED, RELEASED.plus(LONG)] {
            assert!(against(right, RELEASED).is_empty(), "{right}");
        }
        assert!(against(RELEASED.plus(LONG + 1), RELEASED)[0].contains("more than ten years"));
        assert!(against(Timestamp::from_unix(0), RELEASED)[0].contains("or later"));
    }

    #[test]
    fn a_clock_before_its_inputs_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = RELEASED.plus(30 * DAY);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(written.unix());
        file.as_file().set_modified(time).unwrap();
        let at = |now| remarks(now, [file.path()], None);
        assert!(at(written).is_empty() && at(written.minus(TIME_ZONES)).is_empty());
        let name = file.path().display();
        assert_eq!(
            at(written.minus(TIME_ZONES + 1)),
            [format!(
                "the clock says 2026-11-29T23:59:59Z, but {name} was written 2026-12-01T00:00:00Z: check the date \
                 before you sign for decades"
            )]
        );
        assert!(remarks(written, [Path::new("/nonexistent")], None).is_empty());
    }
}
