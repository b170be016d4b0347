//! Lambda `sync-backups`: keeps droplets' automated backups in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::BACKUPS)
}
