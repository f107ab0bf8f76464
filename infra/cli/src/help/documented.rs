//! Commands in the documentation and in the help texts exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use help_snapshots::help_texts;

use crate::arguments::Arguments;

/// Placeholders of identifiers and fingerprints in the documentation.
const PLACEHOLDERS: [(&str, &str); 5] = [
    ("dev_…", "dev_9xCsba6k1hpCOAlGgS5jQs"),
    ("tok_…", "tok_9xCsba6k1hpCOAlGgS5jQs"),
    ("proj_…", "proj_9xCsba6k1hpCOAlGgS5jQs"),
    ("01ab…", "01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab01ab"),
    ("\"$BIRTHCERT_PROJECT\"", "proj_9xCsba6k1hpCOAlGgS5jQs"),
];

/// Returns the commands of `birthcert` in a shell script.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = PLACEHOLDERS
        .iter()
        .fold(script.to_owned(), |it, (placeholder, id)| it.replace(placeholder, id));
    let mut commands = Vec::new();
    for line in script.replace("\\\n", " ").lines() {
        // A command may be in a pipe, in a substitution, or in a crontab.
        let starts = line.match_indices("birthcert ").map(|(start, _)| start);
        for start in starts.filter(|&start| is_command(&line[..start])) {
            let line = line[start..].replace(" || ", " | ");
            // A parenthesis ends a substitution; a comment ends the command, too.
            let line = line.split(" #").next().unwrap_or_default();
            let line =
                if is_balanced(line) { line } else { line.split(')').next().unwrap_or_default() };
            let words = shlex::split(line).unwrap_or_else(|| panic!("quotes are open: {line}"));
            let end = |word: &String| {
                ["|", "&&", ";", ">", "<", ">/dev/null", "2>/dev/null"].contains(&word.as_str())
            };
            let words: Vec<_> = words.iter().take_while(|word| !end(word)).cloned().collect();
            commands.push(words);
        }
    }
    commands
}

/// Returns true if a shell would read a command after this text.
fn is_command(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(['(', '|', '&', ';']) || before.ends_with("  root")
}

fn is_balanced(line: &str) -> bool {
    line.matches('(').count() == line.matches(')').count()
}

/// Parses a command followed by `--help`, which needs no setup.
fn check(words: &[String], source: &str) {
    let with_help = words.iter().cloned().chain(["--help".to_owned()]);
    let result =
        Arguments::try_parse_from(with_help).err().map(|error| (error.kind(), error.to_string()));
    let exists = matches!(result, Some((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)));
    assert!(exists, "{source}: {words:?}: {result:?}");
}

/// Returns the Markdown files in a directory and its subdirectories.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(self::pages(&path));
        } else if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
    pages
}

#[test]
fn commands_in_the_documentation_exist() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = pages(&repository.join("docs"));
    pages.extend(["README.md", "examples/README.md"].map(|page| repository.join(page)));
    let mut seen = 0;
    for path in pages {
        let text = fs::read_to_string(&path).unwrap();
        // Every second part is between fences.
        for block in text.split("```").skip(1).step_by(2) {
            for words in commands(block.trim_start_matches("sh")) {
                check(&words, &path.display().to_string());
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "only {seen} commands were found");
}

#[test]
fn commands_in_the_help_exist() {
    let mut seen = 0;
    for help in help_texts(&Arguments::command(), 0) {
        for words in commands(&help.text) {
            // Other words follow in a usage line.
            if words.get(1).is_some_and(|word| word.starts_with(char::is_alphabetic)) {
                check(&words, &help.text);
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "only {seen} commands were found");
}

#[test]
fn commands_are_found_where_a_shell_would() {
    let script = "export A=$(birthcert project create --name \"Two words\")\n\
                  # birthcert nonsense\n\
                  jq . it | birthcert device revoke --file - \\\n  --yes   # all\n\
                  17 3 * * *  root  birthcert broker renew --directory b >/dev/null\n\
                  birthcert-local serve";
    let found: Vec<_> = commands(script).iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        found,
        [
            "birthcert project create --name Two words",
            "birthcert device revoke --file - --yes",
            "birthcert broker renew --directory b",
        ]
    );
}
