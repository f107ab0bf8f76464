//! The base URL of everything published.

use std::{fmt, str::FromStr};

use reqwest::Url;

#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(Url);

impl BaseUrl {
    pub(crate) fn is_plain_http(&self) -> bool {
        self.0.scheme() == "http"
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url: Url = text.parse().map_err(|error| format!("not a valid URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("must be an http or https URL".into());
        }
        // The log and the status show this URL.
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain credentials: everything published is public".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not contain a query or a fragment".into());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_and_nothing_else() {
        let base = |text: &str| text.parse::<BaseUrl>().map(|it| it.to_string());
        assert_eq!(base("https://crl.example.com").unwrap(), "https://crl.example.com");
        assert_eq!(base("http://127.0.0.1:1/a/").unwrap(), "http://127.0.0.1:1/a");
        for wrong in
            ["", "crl.example.com", "file:///etc", "https://a:b@c", "http://a/?b", "http://a/#b"]
        {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
