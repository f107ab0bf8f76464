//! The devices of a command: one, those in a file, or those that pass filters.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use pki::names::{DeviceId, ProjectId};

use super::selection::{Filters, Selection};
use crate::{
    context::Context,
    error::{CommandError, usage},
    options::confirm::Confirm,
    output::progress,
};

/// One device, or several.
#[derive(clap::Args)]
pub(crate) struct Targets {
    /// Device id, dev_….
    #[arg(required_unless_present_any = ["file", "filters"])]
    #[arg(conflicts_with_all = ["file", "filters"])]
    device: Option<DeviceId>,
    /// File of device ids, one per line; - reads standard input. Empty lines, and comments after #, are
    /// ignored.
    #[arg(long, value_name = "FILE", conflicts_with = "filters")]
    file: Option<PathBuf>,
    #[command(flatten)]
    filters: Option<Filters>,
    /// Project to select devices from.
    #[arg(long, env = "BIRTHCERT_PROJECT", hide_env_values = true)]
    project: Option<ProjectId>,
    /// Number of devices to process concurrently.
    #[arg(long, value_name = "DEVICES", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=64))]
    concurrency: u64,
    /// Skip the confirmation; for several devices, apply instead of previewing.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Targets {
    /// Returns the device, if the command is for one device.
    pub(super) fn device(&self) -> Option<DeviceId> {
        self.device
    }

    pub(super) fn confirm(&self) -> Confirm {
        Confirm::given(self.yes)
    }

    /// Returns true if `--yes` was given.
    pub(super) fn yes(&self) -> bool {
        self.yes
    }

    /// Returns the number of devices to process concurrently.
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency as usize
    }

    /// Returns the devices of a command for several.
    pub(super) async fn devices(self, context: &Context) -> anyhow::Result<Vec<DeviceId>> {
        if let Some(file) = &self.file {
            return read(file);
        }
        let project = self.project.ok_or_else(|| {
            usage("--project (or BIRTHCERT_PROJECT) is required to select devices")
        })?;
        let filters = self.filters.unwrap_or_default();
        let mut selection = Selection::new(context, project, filters, false, None).await?;
        let progress = progress::counter("devices selected");
        let mut devices = Vec::new();
        while let Some(page) = selection.next(None).await? {
            progress.inc(page.len() as u64);
            devices.extend(page.into_iter().map(|device| device.device_id));
        }
        progress.finish_and_clear();
        Ok(devices)
    }
}

/// Reads the whole file, before anything is done.
fn read(file: &Path) -> anyhow::Result<Vec<DeviceId>> {
    let name = file.display();
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let devices = parse(&text).with_context(|| name.to_string())?;
    if devices.is_empty() {
        return Err(CommandError::Missing(format!("device in {name}")).into());
    }
    Ok(devices)
}

fn parse(text: &str) -> anyhow::Result<Vec<DeviceId>> {
    let (mut devices, mut seen) = (Vec::new(), HashSet::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let id: DeviceId = line.parse().with_context(|| format!("line {}", index + 1))?;
        if seen.insert(id) {
            devices.push(id);
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};

    use super::*;

    #[test]
    fn a_file_has_ids_and_comments_and_nothing_else() {
        let ids = [(); 2].map(|()| DeviceId::generate(&mut UnwrapErr(SysRng)));
        let text = format!("# stolen\n{}\r\n\n  {} # the other\n{}\n", ids[0], ids[1], ids[0]);
        assert_eq!(parse(&text).unwrap(), ids);
        let error = parse(&format!("{}\ndev_x\n", ids[0])).unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: not a valid id"), "{error:#}");
    }
}
