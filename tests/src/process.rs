//! Programs as child processes: servers, tools and our own binaries.

pub mod metadata;
pub mod option;
pub mod port;
pub mod server;
pub mod signal;
pub mod terminal;
pub mod tool;
pub mod workspace;

pub use option::option;
pub use port::{free_port, is_closed};
pub use server::Process;
pub use signal::{gone, is_running, send_signal};
pub use workspace::binary;
