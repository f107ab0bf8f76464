//! Rendering of all help texts of a program.

use clap::Command;

/// The long help of a command.
pub struct Help {
    /// The command, as in "birthcert ca root".
    pub command: String,
    /// The help text, as clap prints it.
    pub text: String,
    /// The prose below the examples.
    pub notes: String,
}

/// Renders the help of `program` and of each of its commands at a width, in columns; 0 means unlimited.
#[must_use]
pub fn help_texts(program: &Command, width: usize) -> Vec<Help> {
    let mut program = without_environment(program.clone()).term_width(width);
    program.build();
    let mut texts = Vec::new();
    render(&mut program, &mut texts);
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
