//! Which table a command works with.

use aws_config::SdkConfig;
use clap::Arg;

use crate::{exit::usage, stack};

const TABLE: &str = "BIRTHCERT_TABLE";
const STACK: &str = "BIRTHCERT_STACK";
const UNLESS_SET: &str = "birthcert";

/// A table, or a stack that has one; the environment says where the command line does not. Clap would
/// not tell the one from the other when it looks for what conflicts.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The DynamoDB table; birthcert, unless set. [env: BIRTHCERT_TABLE]
    #[arg(long, global = true, conflicts_with = "stack")]
    table: Option<String>,
    /// The CloudFormation stack that was deployed, to take the table's name from its outputs.
    /// [env: BIRTHCERT_STACK]
    #[arg(long, global = true, value_name = "NAME")]
    stack: Option<String>,
}

/// The same options for the help of a command that needs no table, which leaves them out. Given, they
/// change nothing there.
pub(crate) fn hidden() -> [Arg; 2] {
    ["table", "stack"].map(|name| Arg::new(name).long(name).global(true).hide(true))
}

impl Place {
    /// What was given, or else what the environment says.
    ///
    /// # Errors
    /// When that says two things.
    pub(crate) fn or_of_environment(self) -> anyhow::Result<Self> {
        self.or_of(|name| std::env::var_os(name).map(|it| it.to_string_lossy().into_owned()))
    }

    fn or_of(self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        if self.table.is_some() || self.stack.is_some() {
            return Ok(self);
        }
        let [table, stack] = [TABLE, STACK].map(|it| variable(it).filter(|it| !it.is_empty()));
        if table.is_some() && stack.is_some() {
            let text = format!(
                "the environment says twice where to work, with {TABLE} and {STACK}: unset one of them, \
                 or give --table or --stack"
            );
            return Err(usage(text));
        }
        Ok(Self { table, stack })
    }

    /// The table's name.
    ///
    /// # Errors
    /// As [`stack::table`].
    pub(crate) async fn table(self, config: &SdkConfig) -> anyhow::Result<String> {
        match self.stack {
            Some(stack) => stack::table(config, &stack).await,
            None => Ok(self.table.unwrap_or_else(|| UNLESS_SET.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(table: Option<&str>, stack: Option<&str>) -> Place {
        Place { table: table.map(str::to_owned), stack: stack.map(str::to_owned) }
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let nothing = place(None, None);
        for (table, stack, found) in [
            ("", "", nothing.clone()),
            ("t", "", place(Some("t"), None)),
            ("", "s", place(None, Some("s"))),
        ] {
            let variable =
                |name: &str| Some(if name == TABLE { table.to_owned() } else { stack.to_owned() });
            assert_eq!(nothing.clone().or_of(variable).unwrap(), found);
        }
        let both = |name: &str| Some(name.to_lowercase());
        for given in [place(Some("t"), None), place(None, Some("s"))] {
            assert_eq!(given.clone().or_of(both).unwrap(), given);
        }
        assert!(nothing.or_of(both).is_err());
    }
}
