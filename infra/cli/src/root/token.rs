//! A root's key in a PKCS#11 token: a smart card, an HSM, or SoftHSM where a test wants one.
//!
//! The key is made in the token and cannot leave it. What is signed is a digest, by CKM_ECDSA
//! (PKCS#11 3.1, section 6.3.12), so that the token never sees a certificate.

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

/// Where in which token a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPlace {
    /// The PKCS#11 module: the library that speaks to the token.
    pub module: PathBuf,
    /// The token's label.
    pub token_label: String,
    /// The key's label (CKA_LABEL).
    pub key_label: String,
}

/// A key in a token that is logged in to. It has neither `Debug` nor `Clone`.
pub struct TokenKey {
    session: Session,
    private: ObjectHandle,
    public: CaPublicKey,
}

/// A token, before anybody logged in to it.
pub(crate) struct Token<'a> {
    place: &'a TokenPlace,
    module: Pkcs11,
    slot: Slot,
}

impl TokenPlace {
    /// For people.
    pub(crate) fn describe(&self) -> String {
        format!("{:?} in the PKCS#11 token {:?}", self.key_label, self.token_label)
    }
}

impl<'a> Token<'a> {
    /// Finds the token.
    ///
    /// # Errors
    /// When the module cannot be loaded, or not exactly one token has the label.
    pub(crate) fn find(place: &'a TokenPlace) -> anyhow::Result<Self> {
        let module = load(&place.module)?;
        let label = &place.token_label;
        let mut slots = Vec::new();
        for slot in module.get_slots_with_token().context("the PKCS#11 module lists no tokens")? {
            let info = module.get_token_info(slot);
            if info.is_ok_and(|info| info.token_initialized() && info.label() == label) {
                slots.push(slot);
            }
        }
        match slots[..] {
            [slot] => Ok(Self { place, module, slot }),
            [] => bail!("{} has no token labelled {label:?}", place.module.display()),
            _ => bail!("{} has {} tokens labelled {label:?}", place.module.display(), slots.len()),
        }
    }

    /// The public half of the key, if it is there; without logging in.
    ///
    /// # Errors
    /// When several have the label, or it is no P-256 key.
    pub(crate) fn public_key(&self) -> anyhow::Result<Option<CaPublicKey>> {
        let session = self.module.open_ro_session(self.slot).context("cannot open a session")?;
        self.public_key_in(&session)
    }

    /// Makes the key: in the token, for good, not to be read or exported.
    ///
    /// # Errors
    /// When there is one of that label already, the PIN is wrong, or the token refuses.
    pub(crate) fn make(&self, pin: Option<&AuthPin>) -> anyhow::Result<TokenKey> {
        let session = self.log_in(self.module.open_rw_session(self.slot), pin)?;
        ensure!(
            self.public_key_in(&session)?.is_none() && self.private_keys(&session)?.is_empty(),
            "there is a key {} already, and it is never overwritten",
            self.place.describe()
        );
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let label = Attribute::Label(self.place.key_label.clone().into_bytes());
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
            .context("the token cannot make a P-256 key")?;
        let key = self.key_in(session)?;
        let kept = [
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
        ];
        key.ensure_has(&kept, "the token made a key that was not always safe in it")?;
        Ok(key)
    }

    /// Opens the key.
    ///
    /// # Errors
    /// When it is not there or could leave the token, or the PIN is wrong.
    pub(crate) fn open(&self, pin: Option<&AuthPin>) -> anyhow::Result<TokenKey> {
        self.key_in(self.log_in(self.module.open_ro_session(self.slot), pin)?)
    }

    /// Whether the token asks for its PIN by itself, on a keypad.
    ///
    /// # Errors
    /// When it does not say.
    pub(crate) fn asks_for_pin(&self) -> anyhow::Result<bool> {
        let info = self.module.get_token_info(self.slot).context("the token does not answer")?;
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
                bail!("the token {:?}: the PIN is wrong ({error})", self.place.token_label)
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                bail!("the token {:?}: the PIN is locked", self.place.token_label)
            }
            Err(error) => Err(error).with_context(|| {
                format!("cannot log in to the token {:?}", self.place.token_label)
            }),
        }
    }

    fn key_in(&self, session: Session) -> anyhow::Result<TokenKey> {
        let what = self.place.describe();
        let private = match self.private_keys(&session)?[..] {
            [private] => private,
            [] => bail!("there is no private key {what}"),
            _ => bail!("there are several private keys {what}"),
        };
        let public = self.public_key_in(&session)?;
        let public = public.with_context(|| format!("there is no public key {what}"))?;
        let key = TokenKey { session, private, public };
        let safe = [Attribute::Sensitive(true), Attribute::Extractable(false)];
        key.ensure_has(&safe, "the key can be taken out of the token, and so is no root's")?;
        Ok(key)
    }

    fn private_keys(&self, session: &Session) -> anyhow::Result<Vec<ObjectHandle>> {
        self.objects(session, ObjectClass::PRIVATE_KEY)
    }

    fn public_key_in(&self, session: &Session) -> anyhow::Result<Option<CaPublicKey>> {
        let what = self.place.describe();
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
        // A DER OCTET STRING, says the standard; some tokens give the octets alone.
        let octets = <&OctetStringRef>::from_der(&point).map_or(&*point, OctetStringRef::as_bytes);
        let key = CaPublicKey::from_point(octets);
        Ok(Some(key.map_err(|_| anyhow::anyhow!("the key {what} is not a point on P-256"))?))
    }

    fn objects(&self, session: &Session, class: ObjectClass) -> anyhow::Result<Vec<ObjectHandle>> {
        let label = Attribute::Label(self.place.key_label.clone().into_bytes());
        let found = session.find_objects(&[Attribute::Token(true), Attribute::Class(class), label]);
        found.context("cannot search the token")
    }
}

impl TokenKey {
    pub(crate) fn public(&self) -> CaPublicKey {
        self.public
    }

    pub(crate) fn sign(&self, digest: &TbsDigest) -> anyhow::Result<CaSignature> {
        let octets = self.session.sign(&Mechanism::Ecdsa, self.private, digest);
        let octets = octets.context("the token does not sign")?;
        CaSignature::from_raw(&octets).ok().context("the token's signature is none of P-256")
    }

    fn ensure_has(&self, wanted: &[Attribute], otherwise: &str) -> anyhow::Result<()> {
        let types: Vec<_> = wanted.iter().map(Attribute::attribute_type).collect();
        let found = self.session.get_attributes(self.private, &types);
        let found = found.context("the token does not say how it keeps the key")?;
        ensure!(wanted.iter().all(|attribute| found.contains(attribute)), "{otherwise}");
        Ok(())
    }
}

fn load(path: &Path) -> anyhow::Result<Pkcs11> {
    let name = path.display();
    let module =
        Pkcs11::new(path).with_context(|| format!("cannot load the PKCS#11 module {name}"))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // A dry run looks before the ceremony does.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(error).with_context(|| format!("cannot start the PKCS#11 module {name}")),
    }
}
