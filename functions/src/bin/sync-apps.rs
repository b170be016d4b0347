//! Lambda `sync-apps`: keeps apps in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::APPS)
}
