# The commands of this repository; each is a thin cover of cargo or of the harness (tests/harness).

export SQLX_OFFLINE := true
# 10-50 ms of every cold start, and nothing here needs that source of randomness.
export AWS_LC_SYS_NO_JITTER_ENTROPY := 1

HARNESS := target/debug/harness
LAMBDA := .local/venv/bin/cargo-lambda lambda
ARCHITECTURE ?= $(shell rustup target list --installed 2>/dev/null | grep -q aarch64-unknown-linux-gnu && echo arm64 || echo x86-64)

.PHONY: help run test prove bench check prepare build bins

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

bins:
	@cargo build --workspace --bins

run: bins ## the whole stack on this machine, until Ctrl-C; DO=live mirrors the account of DO_API_TOKEN
	@exec $(HARNESS) run $(if $(DO),--do $(DO))

test: bins ## every test, as CI runs them; TEST=name for some
	@$(HARNESS) with-services -- cargo test --workspace $(TEST)

prove: bins ## the long proofs, with their seeds printed
	@ARCADIA_PROVE=1 $(HARNESS) with-services -- cargo test --workspace -- --ignored --nocapture prove

bench: bins ## measurements, on services of their own
	@$(HARNESS) with-services -- cargo bench --workspace

check: ## formatting, lints, licences and bans, prepared queries
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo run -q -p harness -- deny
	cargo run -q -p harness -- prepare --check

prepare: ## write .sqlx after a query or a migration has changed
	@cargo run -q -p harness --no-default-features --target-dir .local/target-prepare -- prepare

build: ## release binaries as AWS runs them, in target/lambda
	@$(HARNESS) tools cargo-lambda ziglang
	@$(LAMBDA) build --release --$(ARCHITECTURE) -p functions
