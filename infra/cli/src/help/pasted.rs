//! Examples can be pasted from a terminal of any width.

use super::rendered::{Help, help_texts};

/// Returns the lines of the examples.
fn example_lines(help: &Help) -> Vec<&str> {
    let text = help.text.trim_end().strip_suffix(&help.notes).unwrap_or(&help.text);
    let examples = text.lines().skip_while(|line| !line.starts_with("Example"));
    examples.skip(1).filter(|line| !line.is_empty()).collect()
}

#[test]
fn examples_are_never_wrapped() {
    let unlimited = help_texts(0);
    for width in [60, 80, 100] {
        let rendered = help_texts(width);
        let mut seen = 0;
        for (help, narrow) in unlimited.iter().zip(&rendered) {
            let lines: Vec<_> = narrow.text.lines().collect();
            for example in example_lines(help) {
                let Help { command, text, .. } = narrow;
                assert!(
                    lines.contains(&example),
                    "{command} breaks {example:?} at {width}: {text}"
                );
                seen += 1;
            }
        }
        assert!(seen > 150, "only {seen} lines of examples at {width}");
    }
}

#[test]
fn prose_is_wrapped() {
    for width in [60, 80, 100] {
        for help in help_texts(width) {
            let prose = help.text.split("\nExample").next().unwrap_or_default();
            // Clap does not wrap usage lines.
            let mut lines = prose.lines().filter(|line| !line.starts_with("Usage: "));
            let long = lines.find(|line| line.chars().count() > width);
            assert_eq!(long, None, "{} at {width}", help.command);
        }
    }
}
