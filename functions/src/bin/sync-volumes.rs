//! Lambda `sync-volumes`: keeps volumes in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::VOLUMES)
}
