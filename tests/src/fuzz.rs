//! Fuzz targets: each reads what somebody else wrote, and panics if it finds a fault. `tests/fuzz` runs them under
//! libFuzzer, and the unit test here runs them on the seeds from which that starts.

mod agent;
mod api_events;
mod ca;
mod ca_records;
mod certificate_request_infos;
mod certificates;
mod crls;
mod csrs;
mod names;
mod requests;
mod table_items;
mod tbs_crls;
mod tokens;
mod worlds;

pub use agent::agent;
pub use api_events::api_events;
pub use ca_records::ca_records;
pub use certificate_request_infos::certificate_request_infos;
pub use certificates::certificates;
pub use crls::crls;
pub use csrs::csrs;
pub use names::names;
pub use requests::requests;
pub use table_items::table_items;
pub use tbs_crls::tbs_crls;
pub use tokens::tokens;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::faults::schedule::STACK;

    /// Calls `target` with each file of these folders, below the project's top.
    fn on_files(folders: &[&str], target: impl Fn(&[u8])) {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for folder in folders {
            let files = std::fs::read_dir(top.join(folder)).unwrap().collect::<Vec<_>>();
            assert!(!files.is_empty(), "{folder}");
            for file in files {
                target(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }

    fn text(target: impl Fn(&str)) -> impl Fn(&[u8]) {
        move |data| target(str::from_utf8(data).unwrap())
    }

    fn try_seeds() {
        on_files(&["tests/fuzz/seeds/agent"], agent);
        on_files(&["events"], text(api_events));
        on_files(&["tests/fuzz/seeds/ca_records"], ca_records);
        on_files(&["tests/fuzz/seeds/certificate_request_infos"], certificate_request_infos);
        on_files(&["tests/fuzz/seeds/certificates", "tests/fixtures/ca"], certificates);
        on_files(&["tests/fuzz/seeds/crls"], crls);
        on_files(&["tests/fuzz/seeds/csrs", "tests/fixtures/csr"], csrs);
        on_files(&["tests/fuzz/seeds/names"], text(names));
        on_files(&["tests/fuzz/seeds/requests"], requests);
        on_files(&["tests/fuzz/seeds/table_items"], text(table_items));
        on_files(&["tests/fuzz/seeds/tbs_crls"], tbs_crls);
        on_files(&["tests/fuzz/seeds/tokens"], text(tokens));
    }

    #[test]
    fn the_seeds_pass() {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(try_seeds).unwrap();
        thread.join().unwrap();
    }
}
