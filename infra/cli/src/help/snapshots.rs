//! All help texts, compared with the files in `infra/cli/help`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use super::rendered::help_texts;

/// Columns of the most common terminal.
const WIDTH: usize = 80;

#[test]
fn help_texts_are_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("help");
    let file = |command: &str| format!("{}.txt", command.replace(' ', "-"));
    let rendered: BTreeMap<_, _> =
        help_texts(WIDTH).into_iter().map(|help| (file(&help.command), help.text)).collect();
    if env::var_os("BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for name in recorded(&folder) {
            fs::remove_file(folder.join(name)).unwrap();
        }
        for (name, text) in &rendered {
            fs::write(folder.join(name), text).unwrap();
        }
        return;
    }
    let mut differences = String::new();
    for name in recorded(&folder).into_iter().filter(|name| !rendered.contains_key(name)) {
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
         BLESS=1 cargo test -p birthcert-cli --lib help"
    );
}

fn recorded(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
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
