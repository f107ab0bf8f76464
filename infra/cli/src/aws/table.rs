//! Selection of the DynamoDB table.

use aws_config::SdkConfig;
use clap::Arg;

use super::stack;
use crate::{error::usage, pinned_roots::Pin};

const TABLE: &str = "BIRTHCERT_TABLE";
const STACK: &str = "BIRTHCERT_STACK";
const DEFAULT: &str = "birthcert";

/// A table, or a stack that has one. The variables are read here and not by clap, which would treat a set
/// variable as a conflict with the other option.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableSelector {
    /// DynamoDB table
    ///
    /// [env: BIRTHCERT_TABLE] [default: birthcert]
    #[arg(long, global = true, conflicts_with = "stack")]
    table: Option<String>,
    /// CloudFormation stack whose outputs name the table
    ///
    /// [env: BIRTHCERT_STACK]
    #[arg(long, global = true)]
    stack: Option<String>,
}

/// A table, and the roots that its stack pins.
pub(crate) struct TableLocation {
    pub(crate) table: String,
    pub(crate) pin: Option<Pin>,
}

/// Returns the same options, hidden, for commands that need no table. Those accept them and ignore them.
pub(crate) fn hidden_options() -> [Arg; 2] {
    ["table", "stack"].map(|name| Arg::new(name).long(name).global(true).hide(true))
}

impl TableSelector {
    /// Returns the selection of the command line, or else of the environment.
    ///
    /// # Errors
    /// If the environment selects both a table and a stack.
    pub(crate) fn or_from_environment(self) -> anyhow::Result<Self> {
        self.or_from(|name| std::env::var_os(name).map(|it| it.to_string_lossy().into_owned()))
    }

    fn or_from(self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        if self.table.is_some() || self.stack.is_some() {
            return Ok(self);
        }
        let [table, stack] = [TABLE, STACK].map(|it| variable(it).filter(|it| !it.is_empty()));
        if table.is_some() && stack.is_some() {
            let text = format!(
                "{TABLE} and {STACK} are both set: unset one of them, or give --table or --stack"
            );
            return Err(usage(text));
        }
        Ok(Self { table, stack })
    }

    /// Returns the table, and the roots that its stack pins.
    ///
    /// # Errors
    /// If the stack cannot be looked up, as in [`stack::locate`].
    pub(crate) async fn locate(self, config: &SdkConfig) -> anyhow::Result<TableLocation> {
        match self.stack {
            Some(stack) => {
                let (table, pin) = stack::locate(config, &stack).await?;
                Ok(TableLocation { table, pin: Some(pin) })
            }
            None => {
                let table = self.table.unwrap_or_else(|| DEFAULT.to_owned());
                Ok(TableLocation { table, pin: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(table: Option<&str>, stack: Option<&str>) -> TableSelector {
        TableSelector { table: table.map(str::to_owned), stack: stack.map(str::to_owned) }
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let nothing = selector(None, None);
        for (table, stack, found) in [
            ("", "", nothing.clone()),
            ("t", "", selector(Some("t"), None)),
            ("", "s", selector(None, Some("s"))),
        ] {
            let variable =
                |name: &str| Some(if name == TABLE { table.to_owned() } else { stack.to_owned() });
            assert_eq!(nothing.clone().or_from(variable).unwrap(), found);
        }
        let both = |name: &str| Some(name.to_lowercase());
        for given in [selector(Some("t"), None), selector(None, Some("s"))] {
            assert_eq!(given.clone().or_from(both).unwrap(), given);
        }
        assert!(nothing.or_from(both).is_err());
    }
}
