//! Help texts.

#[cfg(test)]
mod documented;

pub(crate) use birthcert_agent::with_examples;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;
    use help_snapshots::{assert_pasteable, assert_recorded, count_example_lines};

    use crate::arguments::Arguments;

    #[test]
    fn help_texts_are_as_recorded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("help");
        assert_recorded(&Arguments::command(), &folder);
    }

    #[test]
    fn examples_are_never_wrapped_and_prose_is() {
        assert_pasteable(&Arguments::command());
        assert!(count_example_lines(&Arguments::command()) > 150);
    }
}
