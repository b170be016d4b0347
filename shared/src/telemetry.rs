//! Log lines: JSON on AWS, one line per event, with the field names that queries rely on.
//!
//! Called once by each binary before anything else. It sets the panic hook too: a panic is logged by its
//! place, never by its message, because a message may quote data. It refuses to log SQL or HTTP of the
//! libraries below us at any level that `LOG_LEVEL` can ask for by a plain word.

use std::io::{self, Write};
use std::sync::Once;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

static STARTED: Once = Once::new();

/// Starts logging for this program; later calls change nothing. `level` is a word such as `info` or `debug`; every line
/// says `service` and, as `function`, which program wrote it.
pub fn init(level: &str, function: &'static str) {
    STARTED.call_once(|| {
        let level = match level.to_ascii_lowercase().as_str() {
            "trace" => LevelFilter::TRACE,
            "debug" => LevelFilter::DEBUG,
            "warn" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            _ => LevelFilter::INFO,
        };
        // Dependencies at `warn`: at `debug` several of them print headers, and a header may be a token. The
        // runtime's `panic` layer repeats every error that the shell has logged, and quotes panics.
        let filter = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
            .with_target("shared", level)
            .with_target("functions", level);
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || Labelled { function })
            .finish()
            .with(filter);
        drop(tracing::subscriber::set_global_default(subscriber));
        std::panic::set_hook(Box::new(|info| {
            let place = info
                .location()
                .map(|l| format!("{}:{}", l.file(), l.line()))
                .unwrap_or_default();
            tracing::error!(place, "panicked");
        }));
    });
}

/// Standard output with the fields that every line has. The library writes one object per call, and has no fields of
/// its own that are the same on every line.
struct Labelled {
    function: &'static str,
}

impl Write for Labelled {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        match line.strip_prefix(b"{") {
            Some(rest) => {
                write!(
                    out,
                    "{{\"service\":\"arcadia-cloud\",\"function\":\"{}\",",
                    self.function
                )?;
                out.write_all(rest)?;
            }
            None => out.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
