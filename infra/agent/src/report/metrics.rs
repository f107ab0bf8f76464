//! Renders the status in Prometheus's text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write as _;

use pki::clock::Timestamp;

use super::status::{CaReport, CrlStatus, Level, Status};

pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn render(status: &Status) -> String {
    let Status { counters, .. } = status;
    let mut text = Text(String::new());
    let healthy = u64::from(status.level != Level::Failing);
    text.one(
        "healthy",
        "gauge",
        "1 if the broker's files are complete and valid, else 0.",
        healthy,
    );
    text.one(
        "applied",
        "gauge",
        "1 if the broker has applied the latest CRLs and denied devices, else 0.",
        status.applied.into(),
    );
    let problems = status.problems.len() as u64;
    text.one("problems", "gauge", "Number of current problems.", problems);
    let denied = status.denied_devices as u64;
    text.one("denied_devices", "gauge", "Number of denied devices.", denied);
    text.of_crls("crl_number", "Number of the CRL in force.", status, |it| Some(it.number));
    text.of_crls(
        "crl_entries",
        "Number of certificates revoked by the CRL in force.",
        status,
        |it| Some(it.entries as u64),
    );
    let about = "Time at which the CRL in force was issued.";
    text.of_crls("crl_this_update_timestamp_seconds", about, status, |it| {
        Some(it.this_update.unix())
    });
    let about = "Time at which the CRL in force expires. The broker then refuses every client.";
    text.of_crls("crl_next_update_timestamp_seconds", about, status, |it| {
        Some(it.next_update.unix())
    });
    let about = "Time at which the CRL in force was last known to be the newest.";
    text.of_authorities("checked_timestamp_seconds", about, status, |it| {
        it.checked_at.map(Timestamp::unix)
    });
    for (name, about, value) in [
        ("crls_taken_total", "New CRLs accepted.", counters.crls_taken),
        (
            "failures_total",
            "Downloads of CRLs and certificate chains that failed or were rejected.",
            counters.failures,
        ),
        ("installs_total", "Writes of the broker's files.", counters.installs),
        ("reloads_total", "Successful broker reloads.", counters.reloads),
        ("reload_failures_total", "Failed broker reloads.", counters.reload_failures),
    ] {
        text.one(name, "counter", about, value);
    }
    text.0
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, about: &str) {
        // Writing to a String cannot fail.
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
        of: impl Fn(&CaReport) -> Option<u64>,
    ) {
        self.head(name, "gauge", about);
        for authority in &status.authorities {
            if let Some(value) = of(authority) {
                // CA names contain no characters that need escaping.
                let label = &authority.name;
                let _ = writeln!(self.0, "birthcert_agent_{name}{{authority=\"{label}\"}} {value}");
            }
        }
    }
}
