# The only commands that CI runs, and that a contributor needs. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help demo build release test schedules test-page test-teleport test-e2e test-e2e-full bench bench-controller bench-rate-limit generate lint fmt deny advisories ci

CARGO ?= cargo
PORT ?= 8080
SEEDS ?= 100000
FROM ?= 0

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Teleport, Slack and the worker between them, on a page: http://127.0.0.1:8080, or PORT=…
	$(CARGO) build --locked --workspace --bins
	@exec target/debug/simulators demo --listen 127.0.0.1:$(PORT) --worker target/debug/slack-access-operator

build: ## Build for development: target/debug/slack-access-operator
	$(CARGO) build --locked

release: ## Build what is shipped: target/release/slack-access-operator
	SOURCE_REVISION="$$(git rev-parse --short=9 HEAD 2>/dev/null)" $(CARGO) build --locked --release

test: ## Run the tests (Rust; Go builds a real Kubernetes API server for them, once)
	$(CARGO) test --locked --workspace

schedules: ## Run simulated schedules of the delivery core: SEEDS=1000000 FROM=0
	SCHEDULES_SEEDS=$(SEEDS) SCHEDULES_FROM=$(FROM) $(CARGO) test --locked --test schedules every_schedule -- --nocapture

test-page: ## Test the demo's page in a headless browser, where there is one
	hack/page.sh

test-teleport: ## Run the worker against the real Teleport 14.2.3 (needs Go and a C compiler; builds it once)
	hack/teleport/with.sh -- $(CARGO) test --locked --test teleport

test-e2e: ## Walk through the life of an installation on a whole Kubernetes node (Linux, root; docs/kubernetes.md)
	$(CARGO) test --locked --test e2e

test-e2e-full: ## The same, with the API server away for two minutes
	E2E_API_OUTAGE_SECONDS=120 $(CARGO) test --locked --test e2e

bench: release ## Side by side with the official plugin on the real Teleport: prints a table (ONLY=figure,… for a part)
	$(CARGO) run --locked --profile bench-driver -p bench -- $(if $(ONLY),--only $(ONLY))

bench-controller: ## Time, API calls and memory of the controller with 1,000 objects on a real API server
	$(CARGO) bench --locked --bench controller

lint: ## Formatting, and clippy with warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --test teleport -- -D warnings
	$(CARGO) clippy --locked --test e2e -- -D warnings

bench-rate-limit: ## What 20 channels with a message each second keep of it while one is jammed, on virtual time
	$(CARGO) test --locked --test slack_rate_limit -- --nocapture

generate: build ## Write what is generated: the definition, the chart's copy of it, manifests/install.yaml
	target/debug/slack-access-operator crd | tee crds/slackaccessplugins.yaml >charts/slack-access-operator/files/slackaccessplugins.yaml
	HELM="$$(hack/kubernetes/build.sh helm)/helm" hack/manifests.sh >manifests/install.yaml

fmt: ## Format the sources
	$(CARGO) fmt --all

deny: ## Licences, sources and banned crates of the dependencies (offline)
	hack/cargo-deny.sh --locked check --hide-inclusion-graph bans licenses sources

advisories: ## Known vulnerabilities of the dependencies (fetches the RustSec database)
	hack/cargo-deny.sh --locked check advisories

ci: ## Everything that must pass before a change is merged
	.ci/run
