//! Prints the API's description: `make openapi` keeps `docs/openapi.json` with it.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    println!("{:#}", *functions::api::routes::description::DOCUMENT);
}
