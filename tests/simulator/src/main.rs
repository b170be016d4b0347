//! The simulator as a program: `simulator [--port N] [--seed N] [--token [NAME=]TEXT]… [--scenario
//! default|empty] [--droplets N] [--latency-ms N] [--limits off] [--volatile on]`.
//!
//! Run by the local stack and by people with curl. It prints its URL on one line and serves until it is
//! killed. A token without a name is called `token-1`, `token-2`, …; a token's text is never printed.
//! It refuses options it does not know.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use simulator::{Limits, Options, Scenario, Simulator, Token};

fn main() -> ExitCode {
    let outcome =
        options(std::env::args().skip(1)).and_then(|options| serve(options).map_err(|e| e.to_string()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "simulator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> io::Result<()> {
    let port = options.port;
    let busy = |error: io::Error| io::Error::new(error.kind(), format!("port {port}: {error}"));
    let simulator = Simulator::start(options).map_err(busy)?;
    let mut out = io::stdout();
    writeln!(out, "{}", simulator.url())?;
    out.flush()?;
    simulator.wait();
    Ok(())
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut tokens = Vec::new();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word}: {value} is not a number"))
        };
        match word.as_str() {
            "--port" => {
                options.port = value
                    .parse()
                    .map_err(|_| format!("--port: {value} is not a port"))?
            }
            "--seed" => options.seed = number()?,
            "--droplets" => options.scenario = Scenario::Scale { droplets: number()? },
            "--scenario" => {
                options.scenario = match value.as_str() {
                    "default" => Scenario::Default,
                    "empty" => Scenario::Empty,
                    _ => return Err(format!("--scenario: {value} is neither default nor empty")),
                }
            }
            "--latency-ms" => options.settings.latency_ms = number()?,
            "--volatile" => match value.as_str() {
                "on" => options.settings.volatile = true,
                "off" => options.settings.volatile = false,
                _ => return Err(format!("--volatile: {value} is neither on nor off")),
            },
            "--limits" => match value.as_str() {
                "on" => options.settings.limits = Limits::default(),
                "off" => options.settings.limits = Limits::off(),
                _ => return Err(format!("--limits: {value} is neither on nor off")),
            },
            "--token" => {
                let nameless = || (format!("token-{}", tokens.len() + 1), value.clone());
                let (name, text) = value
                    .split_once('=')
                    .map_or_else(nameless, |(n, t)| (n.to_owned(), t.to_owned()));
                tokens.push(Token::new(name, text));
            }
            _ => return Err(format!("{word} is not an option")),
        }
    }
    if !tokens.is_empty() {
        options.tokens = tokens;
    }
    Ok(options)
}
