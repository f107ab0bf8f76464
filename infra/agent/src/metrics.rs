//! The status in Prometheus's text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write as _;

use pki::clock::Timestamp;

use crate::status::{AuthorityStatus, CrlStatus, Level, Status};

/// The content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn render(status: &Status) -> String {
    let Status { counters, .. } = status;
    let mut text = Text(String::new());
    let healthy = u64::from(status.level != Level::Failing);
    text.one(
        "healthy",
        "gauge",
        "Whether what the broker knows is valid, and all that there is.",
        healthy,
    );
    text.one(
        "applied",
        "gauge",
        "Whether the broker was told all that is known.",
        status.applied.into(),
    );
    let problems = status.problems.len() as u64;
    text.one("problems", "gauge", "Things that somebody should look at.", problems);
    let denied = status.denied_devices as u64;
    text.one("denied_devices", "gauge", "Devices that are denied everything.", denied);
    text.of_crls("crl_number", "Number of the CRL in force.", status, |it| Some(it.number));
    text.of_crls("crl_entries", "Certificates that it revokes.", status, |it| {
        Some(it.entries as u64)
    });
    let about = "When the CRL in force was made.";
    text.of_crls("crl_this_update_timestamp_seconds", about, status, |it| {
        Some(it.this_update.unix())
    });
    let about = "When the CRL in force expires: the broker then refuses everyone.";
    text.of_crls("crl_next_update_timestamp_seconds", about, status, |it| {
        Some(it.next_update.unix())
    });
    let about = "When it was last known that there is no newer CRL.";
    text.of_authorities("checked_timestamp_seconds", about, status, |it| {
        it.checked_at.map(Timestamp::unix)
    });
    for (name, about, value) in [
        ("crls_taken_total", "New CRLs taken.", counters.crls_taken),
        (
            "failures_total",
            "Times that a CRL could not be had or was not taken.",
            counters.failures,
        ),
        ("installs_total", "Times that the broker's files were written.", counters.installs),
        ("reloads_total", "Times that the broker was told to read them.", counters.reloads),
        ("reload_failures_total", "Times that telling it failed.", counters.reload_failures),
    ] {
        text.one(name, "counter", about, value);
    }
    text.0
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, about: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP birthcert_agent_{name} {about}");
        let _ = writeln!(self.0, "# TYPE birthcert_agent_{name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, about: &str, value: u64) {
        self.head(name, kind, about);
        let _ = writeln!(self.0, "birthcert_agent_{name} {value}");
    }

    fn of_crls(
        &mut self,
        name: &str,
        about: &str,
        status: &Status,
        of: fn(&CrlStatus) -> Option<u64>,
    ) {
        self.of_authorities(name, about, status, |it| it.crl.as_ref().and_then(of));
    }

    fn of_authorities(
        &mut self,
        name: &str,
        about: &str,
        status: &Status,
        of: impl Fn(&AuthorityStatus) -> Option<u64>,
    ) {
        self.head(name, "gauge", about);
        for authority in &status.authorities {
            if let Some(value) = of(authority) {
                // A CA's name has no character that would have to be escaped.
                let label = &authority.name;
                let _ = writeln!(self.0, "birthcert_agent_{name}{{authority=\"{label}\"}} {value}");
            }
        }
    }
}
