//! Lambda `sync-databases`: keeps managed databases in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::DATABASES)
}
