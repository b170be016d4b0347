//! A DigitalOcean on localhost.
//!
//! For tests, which start it in-process on a free port (`Simulator::start(Options::default())`), and for
//! the local stack, which runs the binary. It answers in DO's shapes, enforces DO's limits, and goes wrong on
//! request. It imports nothing of the product, so that it can contradict it; it never talks to anybody.

mod address;
mod answer;
mod api;
pub mod billing;
mod call;
mod chance;
mod churn;
mod clock;
mod collection;
mod control;
mod definition;
mod effects;
mod faults;
mod gate;
mod journal;
mod limits;
mod members;
mod options;
mod page;
mod problem;
pub mod scenario;
mod server;
mod simulator;
mod state;
mod template;
mod token;
mod world;

pub use churn::{Churn, Churned};
pub use clock::WORLD_START;
pub use faults::{FAULT_NAMES, Fault, FaultKind, Matcher, Placed};
pub use journal::{Count, Entry, Wanted};
pub use limits::Limits;
pub use options::{DEFAULT_TOKEN, Options};
pub use problem::Problem;
pub use scenario::Scenario;
pub use simulator::{Locked, Simulator};
pub use state::Settings;
pub use token::{Scopes, Token};
pub use world::World;
