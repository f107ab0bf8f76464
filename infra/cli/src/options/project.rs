//! `--project` of commands that need one.

use pki::names::ProjectId;

#[derive(clap::Args)]
pub(crate) struct ProjectOption {
    /// Project id, proj_….
    #[arg(long, env = "BIRTHCERT_PROJECT", hide_env_values = true)]
    pub(crate) project: ProjectId,
}
