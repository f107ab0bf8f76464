//! The devices that are denied, whatever certificate they show: a list that the CRLs of devices' CAs
//! name by its digest, and so sign, number and date.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use pki::{clock::Timestamp, crl::denied_digest, names::DeviceId, profile::Usage};

use crate::{
    authority::Authority,
    directory::Directory,
    source::{Fetched, Source},
};

/// Of two million devices.
const LIMIT: usize = 64 << 20;

pub(crate) type Digest = [u8; 32];

/// Whom the broker is told to deny.
#[derive(Default)]
pub(crate) struct Denied {
    /// As they were published, in order.
    devices: Vec<DeviceId>,
    /// Of the lists that they are from; none, as long as there was no list.
    digests: BTreeSet<Digest>,
}

impl Denied {
    /// As an earlier run left it.
    pub(crate) fn restored(directory: &Directory) -> anyhow::Result<Self> {
        let Some(file) = directory.read_denied()? else { return Ok(Self::default()) };
        // That it is still what the CRLs name shows by the digest.
        Ok(Self { devices: parse(&file)?, digests: [denied_digest(&file)].into() })
    }

    pub(crate) fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// Whether there ever was a list.
    pub(crate) fn is_known(&self) -> bool {
        !self.digests.is_empty()
    }

    /// The lists that matter: each names the devices of all CAs, so that the newest one counts, and
    /// all of those that are of the same second. Only devices' CAs have a say: another CA under the
    /// same root has no business with them.
    pub(crate) fn wanted<'a>(authorities: impl Iterator<Item = &'a Authority>) -> BTreeSet<Digest> {
        let authorities = authorities.filter(|it| it.certificate().is_for(Usage::Device));
        let dated = |it: &'a Authority| Some((it.crl().this_update(), *it.crl().denied_devices()?));
        let dated: Vec<(Timestamp, Digest)> = authorities.filter_map(dated).collect();
        let newest = dated.iter().map(|(at, _)| *at).max();
        dated.into_iter().filter(|(at, _)| Some(*at) == newest).map(|(_, digest)| digest).collect()
    }

    /// Whether it is not what the CRLs name. A CRL that names no list leaves the last one in force.
    pub(crate) fn is_behind<'a>(&self, authorities: impl Iterator<Item = &'a Authority>) -> bool {
        let wanted = Self::wanted(authorities);
        !wanted.is_empty() && wanted != self.digests
    }

    /// What was [`Denied::wanted`].
    pub(crate) async fn fetch(digests: BTreeSet<Digest>, source: &Source) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for digest in &digests {
            files.push(fetch(digest, source).await?);
        }
        let devices = match files.as_slice() {
            [file] => parse(file)?,
            files => {
                let lists =
                    files.iter().map(|file| parse(file)).collect::<anyhow::Result<Vec<_>>>()?;
                let lines = lists.iter().flatten().map(|id| (id.to_string(), *id));
                lines.collect::<BTreeMap<_, _>>().into_values().collect()
            }
        };
        Ok(Self { devices, digests })
    }

    /// Keeps it for the next run.
    pub(crate) fn keep(&self, directory: &Directory) -> anyhow::Result<()> {
        directory.keep_denied(&self.file())
    }

    fn file(&self) -> Vec<u8> {
        self.devices.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect()
    }
}

async fn fetch(digest: &Digest, source: &Source) -> anyhow::Result<Vec<u8>> {
    let name: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    let path = format!("denied/{name}.txt");
    let Fetched::Changed(document) = source.fetch(&path, None, LIMIT).await? else {
        bail!("no list of denied devices");
    };
    ensure!(denied_digest(&document.body) == *digest, "{path} is not the list that the CRL names");
    Ok(document.body)
}

/// An id a line; each line is ended, so that a list that was cut off does not pass for a shorter one.
fn parse(file: &[u8]) -> anyhow::Result<Vec<DeviceId>> {
    let text = str::from_utf8(file).context("the list of denied devices is not text")?;
    ensure!(text.is_empty() || text.ends_with('\n'), "the list of denied devices is cut off");
    let ids = text.lines().map(|line| {
        line.parse().with_context(|| format!("the list of denied devices has {line:?}"))
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids_and_nothing_else() {
        let (one, two) = ("dev_0123456789ABCDEFGHIJKL", "dev_abcdefghijklmnopqrstuv");
        assert!(parse(b"").unwrap().is_empty());
        let denied = parse(format!("{one}\n{two}\n").as_bytes()).unwrap();
        assert_eq!(denied.iter().map(ToString::to_string).collect::<Vec<_>>(), [one, two]);
        let both = Denied { devices: denied, digests: BTreeSet::new() };
        assert_eq!(both.file(), format!("{one}\n{two}\n").into_bytes());
        for wrong in [one, "dev_\n", "\n", "# x\n", &format!("{one}\ntopic readwrite #\n")] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(parse(&[0xff, b'\n']).is_err());
    }
}
