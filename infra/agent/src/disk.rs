//! The agent's data directory, and files that are replaced atomically.

mod broker_file;
mod data_directory;
mod file_stat;
mod files;
mod installer;

pub(crate) use broker_file::BrokerFile;
pub(crate) use data_directory::{CaFile, DataDirectory};
pub(crate) use file_stat::FileStat;
pub(crate) use files::read;
pub(crate) use installer::{Fingerprint, Installer, fingerprint, remove_stale_crls};

pub use data_directory::DirectoryInUse;
pub use files::replace;
