//! A root's key in a PKCS#11 token: a smart card, an HSM, or SoftHSM in tests.
//!
//! The key is generated in the token and cannot leave it. The token signs a digest with CKM_ECDSA
//! (PKCS#11 3.1, section 6.3.12) and never sees a certificate.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use der::{Decode, Encode, asn1::OctetStringRef};
use pki::signing::{CURVE, CaPublicKey, CaSignature, TbsDigest};
use serde::{Deserialize, Serialize};

/// The location of a key in a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Location {
    /// PKCS#11 module: the library that accesses the token.
    pub module: PathBuf,
    /// Label of the token.
    pub token_label: String,
    /// Label of the key (CKA_LABEL).
    pub key_label: String,
}

/// A key in a token, in a logged-in session. Implements neither `Debug` nor `Clone`.
pub struct Pkcs11Key {
    session: Session,
    private: ObjectHandle,
    public: CaPublicKey,
}

/// A token without a session.
pub(crate) struct Pkcs11Token<'a> {
    location: &'a Pkcs11Location,
    module: Pkcs11,
    slot: Slot,
}

impl Pkcs11Location {
    /// Describes the location for people.
    pub(crate) fn describe(&self) -> String {
        format!("{:?} in the PKCS#11 token {:?}", self.key_label, self.token_label)
    }
}

impl<'a> Pkcs11Token<'a> {
    /// Finds the token.
    ///
    /// # Errors
    /// If the module cannot be loaded, or the number of tokens with the label is not one.
    pub(crate) fn find(location: &'a Pkcs11Location) -> anyhow::Result<Self> {
        let module = load(&location.module)?;
        let label = &location.token_label;
        let mut slots = Vec::new();
        for slot in
            module.get_slots_with_token().context("cannot list the tokens of the PKCS#11 module")?
        {
            let info = module.get_token_info(slot);
            if info.is_ok_and(|info| info.token_initialized() && info.label() == label) {
                slots.push(slot);
            }
        }
        match slots[..] {
            [slot] => Ok(Self { location, module, slot }),
            [] => bail!("{} has no token labelled {label:?}", location.module.display()),
            _ => {
                bail!("{} has {} tokens labelled {label:?}", location.module.display(), slots.len())
            }
        }
    }

    /// Returns the public key, if the key exists. Does not log in.
    ///
    /// # Errors
    /// If several keys have the label, or the key is not on P-256.
    pub(crate) fn public_key(&self) -> anyhow::Result<Option<CaPublicKey>> {
        let session = self.module.open_ro_session(self.slot).context("cannot open a session")?;
        self.public_key_in(&session)
    }

    /// Generates the key in the token, persistent and not extractable.
    ///
    /// # Errors
    /// If a key has this label, the PIN is wrong, or the token fails.
    pub(crate) fn make(&self, pin: Option<&AuthPin>) -> anyhow::Result<Pkcs11Key> {
        let session = self.log_in(self.module.open_rw_session(self.slot), pin)?;
        ensure!(
            self.public_key_in(&session)?.is_none() && self.private_keys(&session)?.is_empty(),
            "the key {} already exists and is never overwritten",
            self.location.describe()
        );
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let label = Attribute::Label(self.location.key_label.clone().into_bytes());
        let curve = Attribute::EcParams(CURVE.to_der()?);
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            curve,
            label.clone(),
            Attribute::Id(id.to_vec()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label,
            Attribute::Id(id.to_vec()),
        ];
        session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .context("the token cannot generate a P-256 key")?;
        let key = self.key_in(session)?;
        let kept = [
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
        ];
        key.ensure_has(&kept, "the token generated a key that was extractable at some time")?;
        Ok(key)
    }

    /// Opens the key.
    ///
    /// # Errors
    /// If the key does not exist or is extractable, or the PIN is wrong.
    pub(crate) fn open(&self, pin: Option<&AuthPin>) -> anyhow::Result<Pkcs11Key> {
        self.key_in(self.log_in(self.module.open_ro_session(self.slot), pin)?)
    }

    /// Returns true if the PIN is entered on the token's own keypad.
    ///
    /// # Errors
    /// If the token does not respond.
    pub(crate) fn has_keypad(&self) -> anyhow::Result<bool> {
        let info = self.module.get_token_info(self.slot).context("the token does not respond")?;
        Ok(info.protected_authentication_path())
    }

    fn log_in(
        &self,
        session: Result<Session, Error>,
        pin: Option<&AuthPin>,
    ) -> anyhow::Result<Session> {
        let session = session.context("cannot open a session with the token")?;
        match session.login(UserType::User, pin) {
            Ok(()) => Ok(session),
            Err(Error::Pkcs11(error @ (RvError::PinIncorrect | RvError::PinLenRange), _)) => {
                bail!("the token {:?}: the PIN is wrong ({error})", self.location.token_label)
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                bail!("the token {:?}: the PIN is locked", self.location.token_label)
            }
            Err(error) => Err(error).with_context(|| {
                format!("cannot log in to the token {:?}", self.location.token_label)
            }),
        }
    }

    fn key_in(&self, session: Session) -> anyhow::Result<Pkcs11Key> {
        let what = self.location.describe();
        let private = match self.private_keys(&session)?[..] {
            [private] => private,
            [] => bail!("there is no private key {what}"),
            _ => bail!("there are several private keys {what}"),
        };
        let public = self.public_key_in(&session)?;
        let public = public.with_context(|| format!("there is no public key {what}"))?;
        let key = Pkcs11Key { session, private, public };
        let safe = [Attribute::Sensitive(true), Attribute::Extractable(false)];
        key.ensure_has(&safe, "the key is extractable from the token: a root must not use it")?;
        Ok(key)
    }

    fn private_keys(&self, session: &Session) -> anyhow::Result<Vec<ObjectHandle>> {
        self.objects(session, ObjectClass::PRIVATE_KEY)
    }

    fn public_key_in(&self, session: &Session) -> anyhow::Result<Option<CaPublicKey>> {
        let what = self.location.describe();
        let object = match self.objects(session, ObjectClass::PUBLIC_KEY)?[..] {
            [] => return Ok(None),
            [object] => object,
            _ => bail!("there are several public keys {what}"),
        };
        let attributes =
            session.get_attributes(object, &[AttributeType::EcParams, AttributeType::EcPoint]);
        let (mut curve, mut point) = (None, None);
        for attribute in attributes.with_context(|| format!("cannot read the public key {what}"))? {
            match attribute {
                Attribute::EcParams(value) => curve = Some(value),
                Attribute::EcPoint(value) => point = Some(value),
                _ => {}
            }
        }
        ensure!(curve == Some(CURVE.to_der()?), "the key {what} is not on P-256");
        let point = point.with_context(|| format!("the key {what} has no point"))?;
        // The standard requires a DER OCTET STRING; some tokens return the bare octets.
        let octets = <&OctetStringRef>::from_der(&point).map_or(&*point, OctetStringRef::as_bytes);
        let key = CaPublicKey::from_point(octets);
        Ok(Some(key.map_err(|_| anyhow::anyhow!("the key {what} is not a point on P-256"))?))
    }

    fn objects(&self, session: &Session, class: ObjectClass) -> anyhow::Result<Vec<ObjectHandle>> {
        let label = Attribute::Label(self.location.key_label.clone().into_bytes());
        let found = session.find_objects(&[Attribute::Token(true), Attribute::Class(class), label]);
        found.context("cannot search the token")
    }
}

impl Pkcs11Key {
    pub(crate) fn public(&self) -> CaPublicKey {
        self.public
    }

    pub(crate) fn sign(&self, digest: &TbsDigest) -> anyhow::Result<CaSignature> {
        let octets = self.session.sign(&Mechanism::Ecdsa, self.private, digest);
        let octets = octets.context("the token failed to sign")?;
        CaSignature::from_raw(&octets).ok().context("the token returned an invalid P-256 signature")
    }

    fn ensure_has(&self, wanted: &[Attribute], error: &str) -> anyhow::Result<()> {
        let types: Vec<_> = wanted.iter().map(Attribute::attribute_type).collect();
        let found = self.session.get_attributes(self.private, &types);
        let found = found.context("cannot read the attributes of the key in the token")?;
        ensure!(wanted.iter().all(|attribute| found.contains(attribute)), "{error}");
        Ok(())
    }
}

fn load(path: &Path) -> anyhow::Result<Pkcs11> {
    let name = path.display();
    let module =
        Pkcs11::new(path).with_context(|| format!("cannot load the PKCS#11 module {name}"))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Initialized earlier by the lookup of the key.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => {
            Err(error).with_context(|| format!("cannot initialize the PKCS#11 module {name}"))
        }
    }
}
