# The only commands that CI runs, and that a contributor needs. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help demo build release test test-page lint fmt deny advisories ci

CARGO ?= cargo
PORT ?= 8080

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Teleport, Slack and the worker between them, on a page: http://127.0.0.1:8080, or PORT=…
	$(CARGO) build --locked --workspace --bins
	@exec target/debug/simulators demo --listen 127.0.0.1:$(PORT) --worker target/debug/slack-access-operator

build: ## Build for development: target/debug/slack-access-operator
	$(CARGO) build --locked

release: ## Build what is shipped: target/release/slack-access-operator
	SOURCE_REVISION="$$(git rev-parse --short=9 HEAD 2>/dev/null)" $(CARGO) build --locked --release

test: ## Run every test that needs nothing but Rust
	$(CARGO) test --locked --workspace

test-page: ## Test the demo's page in a headless browser, where there is one
	hack/page.sh

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
