//! Command-line options of the programs under test.

use std::path::Path;

/// Returns the arguments for an option and a path.
pub fn option(name: &str, path: &Path) -> [String; 2] {
    [name.to_owned(), path.display().to_string()]
}
