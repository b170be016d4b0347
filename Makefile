# The commands of this repository: each is a thin cover of cargo or of the harness (tests/harness).

export SQLX_OFFLINE := true
# Saves 10-50 ms of every cold start; the environment is part of aws-lc's build, so every build has to agree.
export AWS_LC_SYS_NO_JITTER_ENTROPY := 1
# Without its AVX-512 kernels and large tables; part of the build as well (docs/decisions/0018).
export AWS_LC_SYS_SMALL := 1

HARNESS := target/debug/harness
# arm64 is what template.yaml deploys; x86_64 where Rust's arm64 target is not installed.
BUILD_FOR ?= $(if $(shell rustup target list --installed 2>/dev/null | grep aarch64-unknown-linux-gnu),--arm64,--x86-64)

# What the emulator can run on this machine.
HERE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

.DEFAULT_GOAL := help
.PHONY: help bins run test prove fuzz bench released check prepare openapi deployable upgrade build

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

bins:
	@cargo build --workspace --bins

run: bins ## the whole stack on this machine, until Ctrl-C; DO=live mirrors the account of DO_API_TOKEN
	@exec $(HARNESS) run $(if $(DO),--do $(DO))

test: bins ## every test, as CI runs them; TEST=name for some of them
	@exec $(HARNESS) with-services -- cargo test --workspace --no-fail-fast --lib --test "*" $(TEST)

prove: bins ## the long proofs, with their seeds printed
	@ARCADIA_PROVE=1 exec $(HARNESS) with-services -- cargo test --workspace --no-fail-fast --lib --test "*" -- --ignored --nocapture prove

fuzz: bins ## schemathesis against the API, with fixed seeds or SEED=n; findings are in .local
	@exec $(HARNESS) fuzz $(SEED)

# Cold starts and sizes are of what AWS would get, everything else of what is linked in seconds (see Cargo.toml); the two
# are linked to one place, so the first are put aside. Both at once, so that they are compiled with the same features.
bench: bins $(if $(filter cold,$(or $(ONLY),cold)),released) ## measurements, with tables for docs/performance.md; ONLY="sync api" REPS=5 DROPLETS="1000 10000" LINES="33 1000"
	cargo build --profile bench --package functions --package bench --bins --benches
	@exec $(HARNESS) with-services --durable -- cargo bench --package functions --package bench --bench bench -- "only=$(ONLY)" "reps=$(REPS)" "droplets=$(DROPLETS)" "latencies=$(LATENCIES)" "lines=$(LINES)"

released:
	cargo build --release --package functions --bins --example hello
	@rm -rf .local/released && mkdir -p .local/released
	@cp target/release/examples/hello $(patsubst functions/src/bin/%.rs,target/release/%,$(wildcard functions/src/bin/*.rs)) .local/released/

check: bins ## formatting, lints, bans and licences, prepared queries, the template
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@$(HARNESS) deny
	@$(HARNESS) prepare --check
	@PATH="$$($(HARNESS) tools cfn-lint):$$PATH" cfn-lint --template template.yaml --regions us-east-1

prepare: ## write .sqlx, after a query or a migration has changed
	@cargo run --quiet --package harness --no-default-features --target-dir .local/target-prepare -- prepare

openapi: ## write docs/openapi.json, after a route or its description has changed
	@cargo run --quiet --example openapi > .local/openapi.json && mv .local/openapi.json docs/openapi.json

deployable: bins ## what `sam build` makes, checked and run under AWS's emulator as moto's CloudFormation deploys it; long
	@PATH="$$($(HARNESS) tools cargo-lambda ziglang aws-sam-cli):$$PATH" SAM_CLI_TELEMETRY=0 && export PATH SAM_CLI_TELEMETRY && \
	  sam validate --lint --region us-east-1 && sam build --region us-east-1 --parameter-overrides Architecture=$(HERE)
	@exec $(HARNESS) with-services -- cargo test --package it --test it -- --ignored --nocapture deployable::

# The API and the syncs, as compiled programs.
UPGRADE_TESTS ?= binaries:: access:: ticks:: outage::

upgrade: bins ## whether the code of a release (FROM=ref) works on today's schema: its own tests say so
	@test -n "$(FROM)" || { echo "make upgrade FROM=ref: which release?"; exit 2; }
	@rm -rf target/upgrade && git worktree prune && git worktree add --quiet --detach target/upgrade $(FROM)
	@ln -s $(CURDIR)/.local target/upgrade/.local && cp target/debug/ops target/migrating
	@cd target/upgrade && export CARGO_TARGET_DIR=$(CURDIR)/target && cargo build --workspace --bins && \
	  ARCADIA_MIGRATE=$(CURDIR)/target/migrating $(CURDIR)/target/debug/harness with-services -- \
	  cargo test --package it --test it -- $(UPGRADE_TESTS); \
	  code=$$?; cd $(CURDIR) && git worktree remove --force target/upgrade; exit $$code

build: bins ## release binaries as AWS runs them, in target/lambda
	@PATH="$$($(HARNESS) tools cargo-lambda ziglang):$$PATH" cargo lambda build --release $(BUILD_FOR) --package functions
