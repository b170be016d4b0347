//! Lambda `ingest-invoice`: fetches one invoice per message and ties its lines to what caused them. Started by SQS.

fn main() -> std::process::ExitCode {
    functions::ingest::run()
}
