//! The secrets of a test, and a search for them in everything that the test left behind.

mod forms;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use ledger::aws::AwsConfig;

/// A secret, and the places where it belongs.
pub struct Secret {
    name: String,
    /// The octets to search for: the secret in every encoding in which it could leak.
    forms: Vec<Vec<u8>>,
    /// Beginnings of the names of places.
    belongs_in: Vec<String>,
}

/// Everything that a test left behind: outputs, files and tables, each under the name of its place.
#[derive(Default)]
pub struct Traces(Vec<(String, Vec<u8>)>);

impl Secret {
    /// Returns the secret of a passphrase, or of another secret text.
    pub fn text(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), forms: forms::of_text(text), belongs_in: Vec::new() }
    }

    /// Returns the secret of an enrollment token or a device token: the part that no id reveals.
    ///
    /// # Errors
    /// If it is not a token.
    pub fn token(name: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self::text(name, token.get(47..90).context("not a token")?))
    }

    /// Returns the secret of a P-256 key in PEM, not encrypted.
    ///
    /// # Errors
    /// If it is not such a key.
    pub fn key(name: &str, pem: &str) -> anyhow::Result<Self> {
        Ok(Self { name: name.to_owned(), forms: forms::of_key(pem)?, belongs_in: Vec::new() })
    }

    /// Allows the secret in the places whose names begin with this. It must be found in one of them.
    #[must_use]
    pub fn belongs_in(mut self, place: &str) -> Self {
        self.belongs_in.push(place.to_owned());
        self
    }
}

impl Traces {
    /// Adds an output.
    pub fn add(&mut self, place: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.push((place.into(), content.into()));
    }

    /// Adds all files of a directory, whose names begin with `place`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn add_files(&mut self, place: &str, directory: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let place = format!("{place}/{}", entry.file_name().to_string_lossy());
            // Symbolic links lead to files of the same directory.
            if entry.file_type()?.is_dir() {
                self.add_files(&place, &entry.path())?;
            } else if entry.file_type()?.is_file() {
                self.add(place, fs::read(entry.path()).context("a file")?);
            }
        }
        Ok(())
    }

    /// Adds every attribute of every item of a table.
    ///
    /// # Errors
    /// If DynamoDB refuses.
    pub async fn add_table(&mut self, aws: &AwsConfig, table: &str) -> anyhow::Result<()> {
        let pages = aws.dynamodb()?.scan().table_name(table).consistent_read(true);
        let mut items = pages.into_paginator().items().send();
        let mut count = 0;
        while let Some(item) = items.next().await {
            let item = item?;
            count += 1;
            for (name, value) in &item {
                self.add(format!("table: {:?} {name}", item.get("PK")), octets(value));
            }
        }
        ensure!(count > 0, "the table {table} is empty");
        Ok(())
    }

    /// Returns the content of each place.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(_, content)| content.as_slice())
    }

    /// Checks that each secret is where it belongs, which shows that the search finds it, and in no
    /// other place.
    ///
    /// # Errors
    /// If it is not.
    pub fn hold_no_others(&self, secrets: &[Secret]) -> anyhow::Result<()> {
        let forms = secrets.iter().enumerate().flat_map(|(number, secret)| {
            secret.forms.iter().map(move |form| (number, form.as_slice()))
        });
        let search = Search::new(forms);
        let mut found = BTreeSet::new();
        for (place, content) in &self.0 {
            let names = search.finds_in(place.as_bytes());
            for number in search.finds_in(content).into_iter().chain(names) {
                found.insert((number, place.as_str()));
            }
        }
        let mut faults = Vec::new();
        for (number, secret) in secrets.iter().enumerate() {
            let name = &secret.name;
            let places = || found.iter().filter(|(it, _)| *it == number).map(|(_, place)| *place);
            let belongs = |place: &str| secret.belongs_in.iter().any(|it| place.starts_with(it));
            let others: Vec<_> = places().filter(|place| !belongs(place)).collect();
            if !others.is_empty() {
                faults.push(format!("{name} is in {others:?}"));
            }
            for expected in &secret.belongs_in {
                if !places().any(|place| place.starts_with(expected)) {
                    faults.push(format!("{name} was not found in {expected}"));
                }
            }
        }
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        Ok(())
    }
}

/// Forms by their first octets, to search for all of them in one pass.
struct Search<'a>(BTreeMap<[u8; 8], Vec<(usize, &'a [u8])>>);

impl<'a> Search<'a> {
    fn new(forms: impl Iterator<Item = (usize, &'a [u8])>) -> Self {
        let mut search = BTreeMap::<_, Vec<_>>::new();
        for (number, form) in forms {
            let start = *form.first_chunk().expect("shorter forms would be found by chance");
            search.entry(start).or_default().push((number, form));
        }
        Self(search)
    }

    /// Returns the numbers of the secrets that are in it.
    fn finds_in(&self, content: &[u8]) -> BTreeSet<usize> {
        let starts = content.windows(8).enumerate().filter_map(|(at, start)| {
            let start: &[u8; 8] = start.try_into().ok()?;
            Some((at, self.0.get(start)?))
        });
        let matches = starts.flat_map(|(at, forms)| {
            forms.iter().filter(move |(_, form)| content[at..].starts_with(form))
        });
        matches.map(|(number, _)| *number).collect()
    }
}

fn octets(value: &AttributeValue) -> Vec<u8> {
    match value {
        AttributeValue::B(octets) => octets.clone().into_inner(),
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone().into_bytes(),
        AttributeValue::L(values) => values.iter().flat_map(octets).collect(),
        AttributeValue::M(values) => values
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), &octets(value)].concat())
            .collect(),
        AttributeValue::Bs(values) => {
            values.iter().flat_map(|it| it.clone().into_inner()).collect()
        }
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => texts.concat().into_bytes(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use getrandom::rand_core::UnwrapErr;
    use pki::key::KeyPair;

    use super::*;

    fn found(secrets: &[Secret], content: impl Into<Vec<u8>>) -> Option<String> {
        let mut traces = Traces::default();
        traces.add("log", content);
        traces.hold_no_others(secrets).err().map(|error| error.to_string())
    }

    #[test]
    fn a_key_is_found_in_pem_and_der() {
        let pem = KeyPair::generate(&mut UnwrapErr(SysRng)).private_key_pem().unwrap();
        let secrets = [Secret::key("the key", &pem).unwrap()];
        let expected = Some("the key is in [\"log\"]".to_owned());
        let der = forms::pem_body(&pem).unwrap();
        assert_eq!(found(&secrets, pem.as_bytes()), expected, "PEM");
        assert_eq!(found(&secrets, format!("{:?}", &*pem)), expected, "escaped PEM");
        assert_eq!(found(&secrets, pem.replace('\n', "")), expected, "PEM on one line");
        assert_eq!(found(&secrets, [b"x".as_slice(), &der].concat()), expected, "DER");
        assert_eq!(found(&secrets, pki::hex(&der)), expected, "hex");
        assert_eq!(found(&secrets, format!("{der:?}")), expected, "Debug of DER");
        assert_eq!(found(&secrets, format!("{:?}", pem.as_bytes())), expected, "Debug of PEM");
        for padding in 0..3 {
            let event = format!("{}{}", " ".repeat(padding), *pem);
            assert_eq!(found(&secrets, forms::base64(event.as_bytes())), expected, "base64 of PEM");
            let der = [&vec![0; padding], der.as_slice()].concat();
            assert_eq!(found(&secrets, forms::base64(&der)), expected, "base64 of DER");
        }
        let other = KeyPair::generate(&mut UnwrapErr(SysRng)).private_key_pem().unwrap();
        assert_eq!(found(&secrets, other.as_bytes()), None);
    }

    #[test]
    fn a_text_is_found_wherever_it_is() {
        let secrets = [Secret::text("the passphrase", "correct horse battery staple")];
        let expected = Some("the passphrase is in [\"log\"]".to_owned());
        let text = "with correct horse battery staple";
        assert_eq!(found(&secrets, text), expected);
        for start in 0..3 {
            assert_eq!(found(&secrets, forms::base64(&text.as_bytes()[start..])), expected);
        }
        assert_eq!(found(&secrets, text.replace(' ', "+")), expected, "form data");
        assert_eq!(found(&secrets, text.replace(' ', "%20")), expected, "a URL");
        assert_eq!(found(&secrets, "correct horse battery stable"), None);
    }

    #[test]
    fn a_secret_must_be_where_it_belongs() {
        let secrets = [Secret::text("the passphrase", "open sesame").belongs_in("file")];
        let error = found(&secrets, "nothing").unwrap();
        assert_eq!(error, "the passphrase was not found in file");
        let mut traces = Traces::default();
        traces.add("file: passphrase", "open sesame\n");
        assert!(traces.hold_no_others(&secrets).is_ok());
        traces.add("a file named open sesame", "");
        let error = traces.hold_no_others(&secrets).unwrap_err().to_string();
        assert_eq!(error, "the passphrase is in [\"a file named open sesame\"]");
    }
}
