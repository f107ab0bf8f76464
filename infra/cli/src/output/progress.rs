//! Progress of long operations, on standard error and only if that is a terminal.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Returns a counter for a list of unknown length. It is hidden if the list itself goes to the terminal.
pub(crate) fn counter(items: &'static str) -> ProgressBar {
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(style("{spinner} {human_pos} {msg}, {per_sec}"));
    bar.set_message(items);
    bar.enable_steady_tick(TICK);
    bar
}

/// Returns a progress bar for `length` items.
pub(crate) fn bar(length: usize, items: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    bar.set_style(style("{bar:30} {human_pos} of {human_len} {msg}, {eta} left"));
    bar.set_message(items);
    // Immediately, so that short operations are seen too.
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
