//! The denied devices: those that the broker refuses, whatever certificate they present.
//!
//! They are published as a deny list, which the CRLs of device CAs name by its digest. The CRL
//! thereby signs, numbers and dates the list.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use pki::{clock::Timestamp, crl::denied_digest, names::DeviceId, profile::Usage};

use super::verified_ca::VerifiedCa;
use crate::{disk::DataDirectory, published::Digest};

#[derive(Default)]
pub(crate) struct DeniedDevices {
    /// The devices, in published order.
    devices: Vec<DeviceId>,
    /// The digests of the deny lists that they come from; empty if none was ever received.
    digests: BTreeSet<Digest>,
}

impl DeniedDevices {
    /// Restores the devices that an earlier run saved.
    pub(crate) fn restore(directory: &DataDirectory) -> anyhow::Result<Self> {
        let Some(list) = directory.read_denied()? else { return Ok(Self::default()) };
        // This digest shows whether the CRLs still name the saved list.
        Ok(Self { devices: parse(&list)?, digests: [denied_digest(&list)].into() })
    }

    /// Parses and merges the lists with these digests.
    pub(crate) fn from_lists(digests: BTreeSet<Digest>, lists: &[Vec<u8>]) -> anyhow::Result<Self> {
        let devices = match lists {
            [list] => parse(list)?,
            lists => {
                let lists =
                    lists.iter().map(|list| parse(list)).collect::<anyhow::Result<Vec<_>>>()?;
                let lines = lists.iter().flatten().map(|id| (id.to_string(), *id));
                lines.collect::<BTreeMap<_, _>>().into_values().collect()
            }
        };
        Ok(Self { devices, digests })
    }

    pub(crate) fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// Returns true if a list was ever received.
    pub(crate) fn is_known(&self) -> bool {
        !self.digests.is_empty()
    }

    /// Returns the digests in the newest CRLs of device CAs.
    ///
    /// Each list covers the devices of all CAs, so only the newest counts, or all those of the same
    /// second. Other CAs under the same root have no authority over devices.
    pub(crate) fn named_by<'a>(
        authorities: impl Iterator<Item = &'a VerifiedCa>,
    ) -> BTreeSet<Digest> {
        let authorities = authorities.filter(|it| it.certificate().is_for(Usage::Device));
        let dated =
            |it: &'a VerifiedCa| Some((it.crl().this_update(), *it.crl().denied_devices()?));
        let dated: Vec<(Timestamp, Digest)> = authorities.filter_map(dated).collect();
        let newest = dated.iter().map(|(at, _)| *at).max();
        dated.into_iter().filter(|(at, _)| Some(*at) == newest).map(|(_, digest)| digest).collect()
    }

    /// Returns true if the CRLs name other lists. If they name none, the last list stays in force.
    pub(crate) fn is_outdated<'a>(
        &self,
        authorities: impl Iterator<Item = &'a VerifiedCa>,
    ) -> bool {
        let named = Self::named_by(authorities);
        !named.is_empty() && named != self.digests
    }

    /// Saves the devices for the next run.
    pub(crate) fn save(&self, directory: &DataDirectory) -> anyhow::Result<()> {
        directory.save_denied(&self.to_list())
    }

    /// Returns the deny list of these devices.
    pub(crate) fn to_list(&self) -> Vec<u8> {
        self.devices.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect()
    }
}

/// Parses one device id per line. The last line must be terminated, so that a truncated list is
/// noticed.
fn parse(list: &[u8]) -> anyhow::Result<Vec<DeviceId>> {
    let text = str::from_utf8(list).context("the deny list is not valid UTF-8")?;
    ensure!(text.is_empty() || text.ends_with('\n'), "the deny list is truncated");
    let ids = text.lines().map(|line| {
        line.parse().with_context(|| format!("the deny list contains an invalid id: {line:?}"))
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_ids_and_nothing_else() {
        let (one, two) = ("dev_0123456789ABCDEFGHIJKL", "dev_abcdefghijklmnopqrstuv");
        assert!(parse(b"").unwrap().is_empty());
        let denied = parse(format!("{one}\n{two}\n").as_bytes()).unwrap();
        assert_eq!(denied.iter().map(ToString::to_string).collect::<Vec<_>>(), [one, two]);
        let both = DeniedDevices { devices: denied, digests: BTreeSet::new() };
        assert_eq!(both.to_list(), format!("{one}\n{two}\n").into_bytes());
        for wrong in [one, "dev_\n", "\n", "# x\n", &format!("{one}\ntopic readwrite #\n")] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(parse(&[0xff, b'\n']).is_err());
    }

    #[test]
    fn several_lists_are_merged_and_none_may_be_damaged() {
        let [one, two, three] = [
            "dev_0123456789ABCDEFGHIJKL\n",
            "dev_AAAAAAAAAAAAAAAAAAAAAA\n",
            "dev_abcdefghijklmnopqrstuv\n",
        ];
        let merged = |lists: &[&[&str]]| {
            let lists: Vec<_> = lists.iter().map(|list| list.concat().into_bytes()).collect();
            DeniedDevices::from_lists(BTreeSet::new(), &lists).map(|it| it.to_list())
        };
        let all = [one, two, three].concat().into_bytes();
        assert_eq!(merged(&[&[one, three], &[one, two]]).unwrap(), all);
        assert_eq!(merged(&[&[], &[three], &[two, one]]).unwrap(), all);
        assert!(merged(&[&[one, three], &["dev_0"]]).is_err());
    }
}
