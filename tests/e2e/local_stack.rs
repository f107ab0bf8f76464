//! `birthcert-local serve`, run as developers run it.

mod env;
mod issuance;
mod restart;
mod setup;
mod signals;
mod start;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    let suites =
        [start::tests(), issuance::tests(), env::tests(), restart::tests(), signals::tests()];
    suites.into_iter().flatten().collect()
}
