//! What the service costs, beside what it cannot do without: `make bench`.
//!
//! Every figure is a median of several repetitions in one run on one machine, and what counts is its ratio to a limit
//! measured in the same run: machines are noisy. Our side is the compiled binaries, as processes that speak the Lambda
//! Runtime API, against a Postgres that is as durable as in production and the simulator. Each figure carries its
//! correctness: a wrong count of rows or events ends the run. It is no test: nothing here fails for being slow.
//!
//! `make bench ONLY="sync" REPS=5 DROPLETS="1000 10000" LINES="33 1000"`: sections, repetitions, sizes; without them, everything.

// Printing is what a benchmark is for, and whatever goes wrong here ends it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

mod api;
mod cold;
mod ground;
mod ingest;
mod limits;
mod original;
mod report;
mod sync;
mod warm;
mod wire;

use report::Report;

/// What was asked for.
pub struct Wanted {
    sections: Vec<String>,
    /// Repetitions of everything that does not take minutes.
    pub reps: usize,
    /// Sizes of the accounts that are mirrored.
    pub droplets: Vec<u64>,
    /// Sizes of the invoices that are ingested.
    pub lines: Vec<u64>,
    /// Simulated latencies, in milliseconds.
    pub latencies: Vec<u64>,
}

/// The sections, in the order in which they run.
const SECTIONS: [&str; 7] = ["sync", "original", "token", "cold", "warm", "api", "ingest"];

impl Wanted {
    fn read(words: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self {
            sections: Vec::new(),
            reps: 5,
            droplets: vec![1_000, 10_000, 100_000],
            lines: vec![33, 1_000, 100_000, 1_000_000],
            latencies: vec![0, 80],
        };
        let words: Vec<String> = words.collect();
        for word in &words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let numbers = || value.split_whitespace().map(|n| n.parse().expect(word)).collect();
            match name {
                // What cargo says to every benchmark, and what the Makefile passes on unset.
                "--bench" => {}
                _ if value.is_empty() => {}
                "only" => wanted.sections = value.split_whitespace().map(str::to_owned).collect(),
                "reps" => wanted.reps = value.parse().expect(word),
                "droplets" => wanted.droplets = numbers(),
                "lines" => wanted.lines = numbers(),
                "latencies" => wanted.latencies = numbers(),
                _ => panic!("{word} is nothing that can be asked for"),
            }
        }
        for section in &wanted.sections {
            assert!(
                SECTIONS.contains(&section.as_str()),
                "sections are {SECTIONS:?}, not {section}"
            );
        }
        wanted
    }

    fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|wanted| wanted == section)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted = Wanted::read(std::env::args().skip(1));
    let mut report = Report::begin(wanted.reps, &ground::server().await);
    for section in SECTIONS {
        if !wanted.wants(section) {
            continue;
        }
        match section {
            "sync" => sync::run(&wanted, &mut report).await,
            "original" => original::run(&wanted, &mut report).await,
            "token" => sync::within_the_token(&wanted, &mut report).await,
            "cold" => cold::run(&mut report).await,
            "warm" => warm::run(&mut report).await,
            "api" => api::run(&wanted, &mut report).await,
            "ingest" => ingest::run(&wanted, &mut report).await,
            _ => unreachable!("{section}"),
        }
    }
    report.end();
}
