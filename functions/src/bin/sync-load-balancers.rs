//! Lambda `sync-load-balancers`: keeps load balancers in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::LOAD_BALANCERS)
}
