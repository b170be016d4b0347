//! Lambda `sync-projects`: keeps projects, their members, and whose everything is. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::PROJECTS)
}
