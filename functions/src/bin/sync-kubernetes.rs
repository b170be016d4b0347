//! Lambda `sync-kubernetes`: keeps Kubernetes clusters in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::KUBERNETES)
}
