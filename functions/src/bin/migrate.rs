//! Lambda `migrate`: applies `migrations/`. Started by hand or by the pipeline, before new code; nothing else migrates.

fn main() -> std::process::ExitCode {
    functions::worker::migrate()
}
