//! Parses CRLs without copying them or holding their entries.

use const_oid::db::rfc5280::ID_CE_CRL_REASONS;
use der::{
    Decode, ErrorKind, Reader, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, ContextSpecific},
};
use spki::AlgorithmIdentifierRef;
use x509_cert::{
    certificate::Version,
    ext::{Extension, pkix::CrlReason},
    time::Time,
};

use super::entry::{Entry, Serial};
use crate::clock::Timestamp;

/// A parsed to-be-signed CRL. Parsing does not verify anything.
pub(super) struct Parsed<'a> {
    pub(super) version: Option<Version>,
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    /// The name, in DER.
    pub(super) issuer: &'a [u8],
    pub(super) this_update: Timestamp,
    pub(super) next_update: Option<Timestamp>,
    pub(super) entries: Entries<'a>,
    pub(super) extensions: Vec<Extension>,
}

impl<'a> Parsed<'a> {
    /// Parses a TBSCertList (RFC 5280, section 5.1.2).
    pub(super) fn from_tbs(tbs: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(tbs)?;
        let parsed = outer.sequence(|tbs| {
            Ok::<_, der::Error>(Self {
                version: Option::decode(tbs)?,
                algorithm: AlgorithmIdentifierRef::decode(tbs)?,
                issuer: tbs.tlv_bytes()?,
                this_update: timestamp(Time::decode(tbs)?)?,
                next_update: match next_is(tbs, |tag| tag != Tag::Sequence && tag != EXTENSIONS) {
                    true => Some(timestamp(Time::decode(tbs)?)?),
                    false => None,
                },
                entries: match next_is(tbs, |tag| tag == Tag::Sequence) {
                    true => Entries::of(AnyRef::decode(tbs)?.value())?,
                    false => Entries(None),
                },
                extensions: ContextSpecific::decode_explicit(tbs, TagNumber(0))?
                    .map_or_else(Vec::new, |extensions| extensions.value),
            })
        })?;
        outer.finish()?;
        Ok(parsed)
    }

    /// Returns the value of an extension, if it is present.
    pub(super) fn extension(&self, oid: der::asn1::ObjectIdentifier) -> Option<&[u8]> {
        let found = self.extensions.iter().find(|extension| extension.extn_id == oid);
        found.map(|extension| extension.extn_value.as_bytes())
    }
}

const EXTENSIONS: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };

fn next_is<'a>(reader: &impl Reader<'a>, wanted: impl FnOnce(Tag) -> bool) -> bool {
    !reader.is_finished() && Tag::peek(reader).is_ok_and(wanted)
}

/// Converts a time, and refuses any encoding but the one that RFC 5280 prescribes (sections 5.1.2.4 to
/// 5.1.2.6).
fn timestamp(time: Time) -> der::Result<Timestamp> {
    let timestamp = Timestamp::from(time);
    if timestamp.x509()? == time { Ok(timestamp) } else { Err(ErrorKind::DateTime.into()) }
}

/// The entries of a CRL, parsed one by one.
#[derive(Clone)]
pub(super) struct Entries<'a>(Option<SliceReader<'a>>);

impl<'a> Entries<'a> {
    /// Refuses an empty sequence: without entries, the field must be absent (RFC 5280, section 5.1.2.6).
    fn of(entries: &'a [u8]) -> der::Result<Self> {
        if entries.is_empty() {
            return Err(Tag::Sequence.length_error().into());
        }
        Ok(Self(Some(SliceReader::new(entries)?)))
    }
}

impl Iterator for Entries<'_> {
    type Item = der::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.0.as_mut().filter(|reader| !reader.is_finished())?;
        let entry = reader.sequence(entry);
        if entry.is_err() {
            self.0 = None;
        }
        Some(entry)
    }
}

fn entry<'a>(reader: &mut SliceReader<'a>) -> der::Result<Entry> {
    let serial = AnyRef::decode(reader)?;
    if der::Tagged::tag(&serial) != Tag::Integer {
        return Err(Tag::Integer.value_error().into());
    }
    let serial = Serial::from_content(serial.value())?;
    let revoked_at = timestamp(Time::decode(reader)?)?;
    let mut reason = CrlReason::Unspecified;
    if !reader.is_finished() {
        for extension in Vec::<Extension>::decode(reader)? {
            match extension.extn_id {
                ID_CE_CRL_REASONS => {
                    reason = CrlReason::from_der(extension.extn_value.as_bytes())?;
                }
                // One of these is certificateIssuer: the entry is for another CA's certificate (RFC
                // 5280, section 5.3.3).
                oid if extension.critical => return Err(ErrorKind::OidUnknown { oid }.into()),
                _ => {}
            }
        }
    }
    Ok(Entry { serial, revoked_at, reason })
}
