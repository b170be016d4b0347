//! Lambda `sync-snapshots`: keeps snapshots of droplets and volumes in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::SNAPSHOTS)
}
