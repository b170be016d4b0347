//! Lambda `sync-floating-ips`: keeps floating (reserved) IPs in the mirror. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::FLOATING_IPS)
}
