//! Progress of what takes long: on standard error, and only where that is a terminal.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Of a list whose length nobody knows. Where the list itself goes to the terminal, it is its own
/// progress.
pub(crate) fn counter(what: &'static str) -> ProgressBar {
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(style("{spinner} {human_pos} {msg}, {per_sec}"));
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    bar
}

/// Of `length` things, one after another.
pub(crate) fn bar(length: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    bar.set_style(style("{bar:30} {human_pos} of {human_len} {msg}, {eta} left"));
    bar.set_message(what);
    // At once: what is short is seen, too.
    bar.tick();
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_right() {
        for template in ["{spinner} {human_pos} {msg}, {per_sec}", "{bar:30} {human_pos} {eta}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
