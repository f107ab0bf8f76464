//! Help texts, compared with files.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    path::Path,
};

use clap::Command;

use crate::rendered::help_texts;

/// Columns of the most common terminal.
const WIDTH: usize = 80;

/// Asserts that the help texts of `program` are those in the files of `folder`, and records them there
/// if the environment variable `BLESS` is set.
///
/// # Panics
/// If a text differs, or a file belongs to no command; the message shows the first line that differs,
/// and how to record the new texts.
pub fn assert_recorded(program: &Command, folder: &Path) {
    let file = |command: &str| format!("{}.txt", command.replace(' ', "-"));
    let rendered = help_texts(program, WIDTH).into_iter();
    let rendered: BTreeMap<_, _> = rendered.map(|help| (file(&help.command), help.text)).collect();
    if env::var_os("BLESS").is_some() {
        record(folder, &rendered).expect("the folder can be written");
        return;
    }
    let mut differences = String::new();
    for name in recorded(folder).into_iter().filter(|name| !rendered.contains_key(name)) {
        differences += &format!("{name}: there is no such command\n");
    }
    for (name, text) in &rendered {
        let recorded = fs::read_to_string(folder.join(name)).unwrap_or_default();
        if let Some(difference) = difference(&recorded, text) {
            differences += &format!("{name}, {difference}\n");
        }
    }
    assert!(
        differences.is_empty(),
        "help texts changed:\n{differences}To record the new texts: \
         BLESS=1 cargo test --workspace --lib help"
    );
}

fn record(folder: &Path, rendered: &BTreeMap<String, String>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for name in recorded(folder) {
        fs::remove_file(folder.join(name))?;
    }
    rendered.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

fn recorded(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Describes the first line that differs.
fn difference(recorded: &str, rendered: &str) -> Option<String> {
    if recorded == rendered {
        return None;
    }
    let (mut old, mut new) = (recorded.split('\n'), rendered.split('\n'));
    (1..).find_map(|number| match (old.next(), new.next()) {
        (old, new) if old == new => None,
        (old, new) => {
            let shown = |line: Option<&str>| line.unwrap_or("(end)").to_owned();
            Some(format!("line {number}:\n  - {}\n  + {}", shown(old), shown(new)))
        }
    })
}
