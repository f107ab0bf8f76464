//! Checks of the help texts of our programs, for their unit tests: [`tests!`] writes a test that compares each
//! text with a file, and one that no terminal's width breaks an example.
#![allow(clippy::expect_used, clippy::panic, reason = "assertions of tests")]

mod recorded;
mod rendered;

pub use recorded::assert_recorded;
pub use rendered::{Help, help_texts};

/// Writes the tests of a program's help texts: they are the files in the folder `help` of the crate, and their
/// examples, of at least so many lines, can be pasted from a terminal of any width.
#[macro_export]
macro_rules! tests {
    ($program:expr, $least_example_lines:literal) => {
        #[test]
        fn help_texts_are_as_recorded() {
            let folder = ::std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("help");
            $crate::assert_recorded(&$program, &folder);
        }

        #[test]
        fn examples_are_never_wrapped_and_prose_is() {
            $crate::assert_pasteable(&$program);
            assert!($crate::count_example_lines(&$program) >= $least_example_lines);
        }
    };
}

/// Columns of terminals, narrow and wide.
const WIDTHS: [usize; 3] = [60, 80, 100];

/// Asserts that clap wraps the prose of every help text of `program`, and no line of an example.
///
/// # Panics
/// If a line of an example is broken, or one of prose is longer than the terminal.
pub fn assert_pasteable(program: &clap::Command) {
    let unlimited = help_texts(program, 0);
    for width in WIDTHS {
        for (help, narrow) in unlimited.iter().zip(help_texts(program, width)) {
            let lines: Vec<_> = narrow.text.lines().collect();
            for example in example_lines(help) {
                let Help { command, text, .. } = &narrow;
                assert!(
                    lines.contains(&example),
                    "{command} breaks {example:?} at {width}: {text}"
                );
            }
            let prose = narrow.text.split("\nExample").next().unwrap_or_default();
            // Clap does not wrap usage lines.
            let mut lines = prose.lines().filter(|line| !line.starts_with("Usage: "));
            let long = lines.find(|line| line.chars().count() > width);
            assert_eq!(long, None, "{} at {width}", narrow.command);
        }
    }
}

/// Returns the number of lines of examples in all help texts of `program`.
#[must_use]
pub fn count_example_lines(program: &clap::Command) -> usize {
    help_texts(program, 0).iter().map(|help| example_lines(help).len()).sum()
}

/// Returns the lines of the examples, which stand between the options and the prose after them.
fn example_lines(help: &Help) -> Vec<&str> {
    let text = match help.text.trim_end().strip_suffix(&help.notes) {
        // Examples that are short enough may stand where prose does.
        Some(text) if !help.notes.starts_with("Example") => text,
        _ => &help.text,
    };
    let examples = text.lines().skip_while(|line| !line.starts_with("Example"));
    examples.skip(1).filter(|line| !line.is_empty()).collect()
}
