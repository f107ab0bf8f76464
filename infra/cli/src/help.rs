//! Help texts.

#[cfg(test)]
mod documented;

pub(crate) use birthcert_agent::with_examples;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::arguments::Arguments;

    help_snapshots::tests!(Arguments::command(), 151);
}
