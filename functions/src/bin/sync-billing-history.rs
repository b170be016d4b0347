//! Lambda `sync-billing-history`: keeps which invoices there are, and the running month. Started by its schedule.

fn main() -> std::process::ExitCode {
    functions::worker::sync(&shared::sync::BILLING_HISTORY)
}
