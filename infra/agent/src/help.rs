//! Help texts.

/// Returns a clap help template with `examples` below the options.
///
/// Clap wraps `after_help` at the terminal's width and would break commands. It prints the text of a
/// template as it stands.
pub fn with_examples(examples: &str) -> String {
    format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n\
         {{all-args}}\n\n{examples}{{after-help}}"
    )
}
