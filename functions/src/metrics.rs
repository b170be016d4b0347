//! What CloudWatch counts, as lines of its embedded metric format among the log lines: no agent, no extra request.
//!
//! Written once per run and once per refused token. The name of the deployment is the namespace, so that two of them in
//! one account do not add up. Only the age of data has a dimension (the worker): each name and each value of a
//! dimension is a metric to be paid for, and everything else is in the log. It never fails a run.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Unit, describe_histogram, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};
use shared::inventory::Verdict;
use shared::sync::{Report, RunOutcome, Vitals};

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();
static WARM: AtomicBool = AtomicBool::new(false);

/// Starts counting for this process. Without it, as in tests of the library, nothing is counted.
pub(crate) fn start(function: &'static str, namespace: &str) {
    let builder = Builder::new().cloudwatch_namespace(namespace.to_owned());
    let Ok(collector) = builder.init() else {
        tracing::warn!("metrics are not written: somebody else counts already");
        return;
    };
    collector.set_property("service", "arcadia-cloud");
    collector.set_property("function", function);
    describe_histogram!(
        "DataAge",
        Unit::Seconds,
        "oldest complete listing that the worker keeps"
    );
    describe_histogram!("RunTime", Unit::Milliseconds, "what a run took");
    for (name, meaning) in [
        ("RunsFailed", "runs that failed"),
        ("RunsIncomplete", "runs that saw less than everything"),
        ("SuspectListings", "listings that miss too much to be believed"),
        ("Strikes", "strikes given"),
        ("Deletions", "resources that became tombstones"),
        ("DoRequests", "requests sent to DigitalOcean"),
        ("DoRequestsLeft", "requests that the token has left this hour"),
        ("InvoicesPending", "invoices that are not ingested yet"),
        ("InvoicesQuarantined", "invoices that could not be read"),
        (
            "InvoicesMismatched",
            "invoices whose lines do not add up to their amount",
        ),
        ("AuthRejections", "requests refused for their token"),
    ] {
        describe_histogram!(name, Unit::Count, meaning);
    }
    let _ = COLLECTOR.set(collector);
}

/// Whether this is the first event of the sandbox; asked once per event.
pub(crate) fn is_cold_start() -> bool {
    !WARM.swap(true, Ordering::Relaxed)
}

/// One run, whatever came of it.
pub(crate) fn run(report: &Report, vitals: &Vitals, request_id: &str) {
    let Some(collector) = COLLECTOR.get() else { return };
    let sum = |count: fn(&shared::inventory::Outcome) -> u32| -> f64 {
        report
            .kinds
            .iter()
            .map(|kind| f64::from(count(&kind.outcome)))
            // Summing nothing would be a negative zero.
            .fold(0.0, |sum, count| sum + count)
    };
    let is = |yes: bool| f64::from(u8::from(yes));
    let began = report.run_id.is_some();
    histogram!("RunsFailed").record(is(report.outcome == RunOutcome::Failed));
    if began {
        let whole = matches!(report.outcome, RunOutcome::Complete | RunOutcome::Failed);
        histogram!("RunsIncomplete").record(is(!whole));
        histogram!("RunTime").record(report.elapsed_ms as f64);
        histogram!("SuspectListings").record(sum(|outcome| u32::from(outcome.verdict == Verdict::Suspect)));
        histogram!("Strikes").record(sum(|outcome| outcome.struck));
        histogram!("Deletions").record(sum(|outcome| outcome.deleted));
        histogram!("DoRequests").record(f64::from(report.requests));
    }
    if let Some(left) = vitals.requests_left {
        histogram!("DoRequestsLeft").record(f64::from(left));
    }
    if let Some(pending) = vitals.invoices_pending {
        histogram!("InvoicesPending").record(f64::from(pending));
    }
    // The running month is not closed, so it need not add up: only what `ingest-invoice` did is an invoice.
    if let Some(invoice) = report.ledger.as_ref().and_then(|ledger| ledger.ingested.as_ref()) {
        histogram!("InvoicesQuarantined").record(is(invoice.status == "quarantined"));
        histogram!("InvoicesMismatched").record(is(invoice.reconciliation == Some("mismatch")));
    }
    if let Some(age) = vitals.age {
        histogram!("DataAge", "worker" => report.worker).record(age as f64);
    }
    collector.set_property("request_id", request_id);
    collector.set_property("run_id", report.run_id.map(|id| id.to_string()));
    collector.set_property("outcome", report.outcome.name());
    let ages = vitals
        .ages
        .iter()
        .map(|age| (age.kind.clone(), age.seconds.into()));
    collector.set_property("ages", ages.collect::<serde_json::Map<_, _>>());
    write(collector);
}

/// A request that was refused for its token.
pub(crate) fn rejected(request_id: &str) {
    let Some(collector) = COLLECTOR.get() else { return };
    histogram!("AuthRejections").record(1.0);
    collector.set_property("request_id", request_id);
    write(collector);
}

/// Whole lines at once, so that they cannot fall into a log line.
fn write(collector: &Collector) {
    let mut lines = Vec::new();
    if collector.flush(&mut lines).is_ok() {
        let mut out = std::io::stdout().lock();
        drop(out.write_all(&lines).and_then(|()| out.flush()));
    }
}
