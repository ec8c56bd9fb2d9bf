# The four commands a newcomer needs. `make run` and `make test` want nothing but Rust.

CARGO ?= cargo
DATA  ?= ./data

.PHONY: run test bench lint e2e

## Build and serve on http://127.0.0.1:3100, keeping everything in ./data.
run:
	$(CARGO) build --release --locked -p watchfire
	exec "$${CARGO_TARGET_DIR:-target}/release/watchfire" serve --data-dir $(DATA)

## Unit tests, the simulation, the house rules, and the binary end to end.
test:
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --locked --workspace --no-fail-fast; \
	else \
		$(CARGO) test --locked --workspace --no-fail-fast; \
	fi

## End to end with real clients (nginx, Prometheus, the OpenTelemetry SDK, DuckDB); what is missing here is skipped aloud.
e2e:
	$(CARGO) build --locked -p watchfire
	python3 tests/e2e/run.py

## Ingest, acknowledgement latency and bytes on disk, with the load generator that is part of the binary.
bench:
	$(CARGO) build --release --locked -p watchfire
	python3 tests/e2e/bench.py

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; else echo "cargo-deny is not installed: dependencies not checked"; fi
