//! Commands as the documents and the help texts show them are commands that there are.

use std::{fs, path::Path};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use crate::Arguments;

/// What the documents leave out of identifiers, for a reader to fill in.
const LEFT_OUT: [(&str, &str); 4] = [
    ("dev_…", "dev_9xCsba6k1hpCOAlGgS5jQs"),
    ("tok_…", "tok_9xCsba6k1hpCOAlGgS5jQs"),
    ("proj_…", "proj_9xCsba6k1hpCOAlGgS5jQs"),
    ("\"$BIRTHCERT_PROJECT\"", "proj_9xCsba6k1hpCOAlGgS5jQs"),
];

/// The commands of ours in a shell script: what follows `birthcert` up to where the shell ends it.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = LEFT_OUT.iter().fold(script.to_owned(), |it, (gap, id)| it.replace(gap, id));
    let mut commands = Vec::new();
    for line in script.replace("\\\n", " ").lines() {
        // Also in a pipe, in a substitution, and in a crontab.
        let starts = line.match_indices("birthcert ").map(|(place, _)| place);
        for start in starts.filter(|&start| is_command(&line[..start])) {
            let line = line[start..].replace(" || ", " | ");
            // A substitution and a process substitution end with a parenthesis; a comment ends it too.
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

/// Whether a shell would take what comes after this for a command.
fn is_command(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(['(', '|', '&', ';']) || before.ends_with("  root")
}

fn is_balanced(line: &str) -> bool {
    line.matches('(').count() == line.matches(')').count()
}

/// Parses a command up to its end and asks for help there, so that nothing need be set up.
fn check(words: &[String], place: &str) {
    let asked = words.iter().cloned().chain(["--help".to_owned()]);
    let answer =
        Arguments::try_parse_from(asked).err().map(|error| (error.kind(), error.to_string()));
    let is_known = matches!(answer, Some((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)));
    assert!(is_known, "{place}: {words:?}: {answer:?}");
}

#[test]
fn the_documents_show_commands_that_there_are() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![repository.join("README.md"), repository.join("examples/README.md")];
    for entry in fs::read_dir(repository.join("docs")).unwrap() {
        documents.push(entry.unwrap().path());
    }
    documents.retain(|path| path.extension().is_some_and(|it| it == "md"));
    let mut seen = 0;
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        // Each second part is between the fences.
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
fn the_help_shows_commands_that_there_are() {
    fn walk(command: &mut clap::Command, seen: &mut usize) {
        let help = command.render_long_help().to_string();
        for words in commands(&help) {
            // A sentence that begins with our name.
            if words.get(1).is_some_and(|word| word.starts_with(char::is_alphabetic)) {
                check(&words, &help);
                *seen += 1;
            }
        }
        command.get_subcommands_mut().for_each(|it| walk(it, seen));
    }
    let mut seen = 0;
    walk(&mut Arguments::command(), &mut seen);
    assert!(seen > 15, "only {seen} commands were found");
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
