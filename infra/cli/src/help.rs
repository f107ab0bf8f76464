//! Help texts.

#[cfg(test)]
mod documented;
#[cfg(test)]
mod pasted;
#[cfg(test)]
mod rendered;
#[cfg(test)]
mod snapshots;

pub(crate) use birthcert_agent::with_examples;
