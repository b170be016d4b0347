//! Lambda `sync-domains`: keeps DNS zones in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::DOMAINS)
}
