//! Lambda `sync-long-tail`: keeps every kind that has no worker of its own in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::LONG_TAIL)
}
