//! Rendering of all help texts.

use clap::{Command, CommandFactory as _};

use crate::arguments::Arguments;

/// The long help of a command.
pub(super) struct Help {
    /// The command, as in "birthcert ca root".
    pub(super) command: String,
    pub(super) text: String,
    /// The prose below the examples.
    pub(super) notes: String,
}

/// Renders the help of every command at a width; 0 means unlimited.
pub(super) fn help_texts(width: usize) -> Vec<Help> {
    let mut command = without_environment(Arguments::command()).term_width(width);
    command.build();
    let mut texts = Vec::new();
    render(&mut command, &mut texts);
    texts
}

/// Hides the values of environment variables, which differ from machine to machine.
fn without_environment(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(without_environment)
}

fn render(command: &mut Command, texts: &mut Vec<Help>) {
    let text = command.render_long_help().to_string();
    // Clap indents empty lines.
    let text: String = text.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    texts.push(Help { command: name.to_owned(), text, notes });
    for subcommand in command.get_subcommands_mut().filter(|it| it.get_name() != "help") {
        render(subcommand, texts);
    }
}
