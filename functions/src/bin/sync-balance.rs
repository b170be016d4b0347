//! Lambda `sync-balance`: keeps what is owed, and sends again what waits for the queue. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::BALANCE)
}
