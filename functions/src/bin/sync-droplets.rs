//! Lambda `sync-droplets`: keeps droplets in the mirror, those with GPUs included. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::DROPLETS)
}
