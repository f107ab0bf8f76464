//! Rotation of a CA while a fleet works: prepare, activate, retire, and revert.

mod refused;
mod setup;
mod steps;
mod switch;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    [switch::tests(), steps::tests(), refused::tests()].into_iter().flatten().collect()
}
