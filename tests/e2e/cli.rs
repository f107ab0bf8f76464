//! `birthcert`, run as operators run it, on a stack of each test's own.

mod broker;
mod ceremony;
mod clock;
pub(crate) mod fleet;
mod foreign;
mod json;
mod list;
pub(crate) mod lists;
mod pkcs11;
mod project;
mod requests;
mod root;
mod root_crl;
mod setup;
mod stack;
pub(crate) mod subordinate;
mod succession;
mod terminal;
mod token;
mod usage;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    let suites = [
        root::tests(),
        ceremony::tests(),
        clock::tests(),
        pkcs11::tests(),
        root_crl::tests(),
        foreign::tests(),
        json::tests(),
        stack::tests(),
        subordinate::tests(),
        requests::tests(),
        succession::tests(),
        project::tests(),
        token::tests(),
        terminal::tests(),
        list::tests(),
        broker::tests(),
        usage::tests(),
    ];
    suites.into_iter().flatten().collect()
}
