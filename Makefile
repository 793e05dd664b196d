# The only commands that CI runs, and that a contributor needs. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help build release test bench lint fmt deny advisories ci

CARGO ?= cargo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build for development: target/debug/slack-access-operator
	$(CARGO) build --locked

release: ## Build what is shipped: target/release/slack-access-operator
	SOURCE_REVISION="$$(git rev-parse --short=9 HEAD 2>/dev/null)" $(CARGO) build --locked --release

test: ## Run every test that needs nothing but Rust
	$(CARGO) test --locked --workspace

bench: release ## Side by side with the official plugin on the real Teleport: prints a table (ONLY=figure,… for a part)
	$(CARGO) run --locked --profile bench-driver -p bench -- $(if $(ONLY),--only $(ONLY))

lint: ## Formatting, and clippy with warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the sources
	$(CARGO) fmt --all

deny: ## Licences, sources and banned crates of the dependencies (offline)
	hack/cargo-deny.sh --locked check --hide-inclusion-graph bans licenses sources

advisories: ## Known vulnerabilities of the dependencies (fetches the RustSec database)
	hack/cargo-deny.sh --locked check advisories

ci: ## Everything that must pass before a change is merged
	.ci/run
