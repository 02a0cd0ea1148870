# Everything that one does with this repository. `make` alone lists it.

# Flags for every cargo command, such as CARGO_FLAGS=--locked.
CARGO_FLAGS ?=
# The configuration file of `make run` and `make dev`.
CONFIG ?= config.yaml
# Where `make install` puts things; DESTDIR is put before it for packagers.
PREFIX ?= /usr/local
SYSCONFDIR ?= $(PREFIX)/etc

PROGRAMS := signallingserver roundtable-probe
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The python3 of the tests, in a virtual environment with what tests/python/requirements.txt names.
VENV := $(abspath $(TARGET))/python
PYTHON := $(VENV)/bin/python3
EVERYTHING := --workspace --all-features $(CARGO_FLAGS)

.DEFAULT_GOAL := help
.PHONY: help build run dev demo test fuzz fuzz-deep reflection flood soak lab nat-matrix nat-idle webrtc bench bench-check \
	bench-record lint doc deny install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs for release, into bin/
	cargo build --release $(CARGO_FLAGS) $(PROGRAMS:%=--bin %)
	@mkdir -p bin
	install -m 755 $(PROGRAMS:%=$(TARGET)/release/%) bin/

run: build ## build and run the server with config.yaml (or CONFIG=file)
	bin/signallingserver --config-file-path $(CONFIG)

dev: ## run the server, and build and restart it whenever a source file or its configuration changes
	@command -v watchexec >/dev/null || { \
		echo "make dev needs watchexec, which is missing. Install it with: cargo install watchexec-cli --locked"; exit 1; }
	watchexec --restart --watch src --watch proto --watch Cargo.toml --watch $(CONFIG) -- \
		cargo run $(CARGO_FLAGS) --bin signallingserver -- --config-file-path $(CONFIG)

demo: build ## show a whole call: a server and two peers in one process
	bin/roundtable-probe demo

test: $(VENV)/ready ## run every test: Rust (cargo nextest where it is installed), examples in the docs, Python
	PYTHON=$(PYTHON) $(if $(shell command -v cargo-nextest),cargo nextest run,cargo test --tests) $(EVERYTHING)
	cargo test --doc $(EVERYTHING)
	@set -e; for test in $(sort $(wildcard tests/python/test_*.py)); do \
		echo $(PYTHON) $$test; $(PYTHON) $$test; \
	done

$(VENV)/ready: tests/python/environment.sh tests/python/requirements.txt
	sh tests/python/environment.sh $(VENV)
	@touch $@

# Seconds of fuzzing for each target.
FUZZ_SECONDS ?= 60

fuzz: ## fuzz decoder, server and client engine with new seeds for FUZZ_SECONDS (60) each
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)} \
		cargo test --release -p roundtable-proto --test fuzz $(CARGO_FLAGS) -- --nocapture

# The targets of fuzz/, each with a corpus: decoder, server, client, config, proxy, stun.
FUZZ_TARGETS ?= decoder server client config proxy stun

fuzz-deep: ## fuzz the targets of fuzz/ guided by coverage, FUZZ_SECONDS (60) each; needs cargo-fuzz and clang
	@command -v cargo-fuzz >/dev/null || { \
		echo "make fuzz-deep needs cargo-fuzz, which is missing. Install it with: cargo install cargo-fuzz --locked"; exit 1; }
	set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p $(TARGET)/fuzz/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run -O -s none $$target $(TARGET)/fuzz/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=20 -print_final_stats=1; \
	done

# BENCH=quick takes a minute or two in place of a quarter of an hour, and its figures are rough.
BENCH ?= full
# Where the report goes.
BENCH_OUT ?= $(TARGET)/bench

bench: build ## measure every figure beside a bare echo, into target/bench/report.md (BENCH=quick: a short run)
	python3 benches/bench.py --bin bin --out $(BENCH_OUT) $(if $(filter quick,$(BENCH)),--quick)

bench-check: ## count the instructions of the engine's paths; more than 3 % above benches/instructions.json fails
	python3 benches/instructions.py

bench-record: ## write benches/instructions.json anew
	python3 benches/instructions.py --record

# Datagrams in all; the test that `make test` runs sends 100000.
DATAGRAMS ?= 1000000

reflection: ## send a million datagrams (or DATAGRAMS) in a victim's name, print per kind what comes to him
	ROUNDTABLE_LAB_SECONDS=3600 REFLECTION_DATAGRAMS=$(DATAGRAMS) cargo test --release --test reflection $(CARGO_FLAGS) -- --nocapture

# Seconds that each of the six floods lasts; the test that `make test` runs takes 2.
SECONDS_OF_FLOOD ?= 60

flood: ## flood a server in six ways, print what honest peers notice before, during and after
	ROUNDTABLE_LAB_SECONDS=3600 FLOOD_SECONDS=$(SECONDS_OF_FLOOD) \
		cargo test --release --test flood $(CARGO_FLAGS) -- --nocapture

# Seconds of `make soak`; the test that `make test` runs takes half a minute, and one more for what follows.
SOAK ?= 3600

soak: ## an hour (or SOAK seconds) of calls, comings and goings, losses and floods on one server; it must be the same after
	SOAK_SECONDS=$(SOAK) cargo test --release --test soak $(CARGO_FLAGS) -- --nocapture

# Two hosts behind NATs, and a server: `make lab LAB='cone symmetric --input accept' RUN='on alice roundtable-probe ping 192.0.2.1'`.
LAB ?= cone cone
# What to run in the lab; a shell if it is empty.
RUN ?=

lab: build ## bring up a NAT lab (LAB='cone symmetric'), run a command in it (RUN='on alice ...', or a shell), take it down
	@cargo build --quiet --release --example nat_lab $(CARGO_FLAGS)
	@$(TARGET)/release/examples/nat_lab $(LAB) -- $(if $(RUN),'$(RUN)')

# Calls in each cell of the matrix; the tests that `make test` runs make 3.
NAT_TRIALS ?= 10

nat-matrix: ## call through every pair of NATs NAT_TRIALS (10) times, print success and median time as a table
	@printf '%s\n' '| left - right | input | both start | left 300 ms earlier | right 300 ms earlier |' '|---|---|---|---|---|'
	@NAT_TRIALS=$(NAT_TRIALS) cargo test --quiet --test nat_lab --all-features $(CARGO_FLAGS) matrix -- --nocapture \
		--test-threads=6 2>&1 | grep -E '^\| |SKIPPED|panicked' | sort -u

nat-idle: ## call a peer that was silent for ten minutes behind a NAT that forgets after 30 s
	NAT_IDLE_SECONDS=600 cargo test --test nat_lab --all-features $(CARGO_FLAGS) silent_behind_a_nat -- --nocapture

# The python3 with aiortc, in a virtual environment with what tests/webrtc/requirements.txt names.
AIORTC := $(abspath $(TARGET))/aiortc

webrtc: $(AIORTC)/ready ## real WebRTC calls behind NATs: examples/webrtc (str0m) with itself and with aiortc
	cargo build --manifest-path examples/webrtc/Cargo.toml --target-dir $(TARGET)/webrtc --bins --examples $(CARGO_FLAGS)
	WEBRTC_CALL=$(abspath $(TARGET))/webrtc/debug/webrtc-call WEBRTC_STUN=$(abspath $(TARGET))/webrtc/debug/examples/stun \
		AIORTC_PYTHON=$(AIORTC)/bin/python3 \
		cargo test --test webrtc --all-features $(CARGO_FLAGS) -- --nocapture

$(AIORTC)/ready: tests/python/environment.sh tests/webrtc/requirements.txt
	sh tests/python/environment.sh $(AIORTC) tests/webrtc/requirements.txt 'import aiortc'
	@touch $@

lint: ## check format and lints; warnings are errors
	cargo fmt --all --check
	cargo fmt --manifest-path examples/webrtc/Cargo.toml --check
	cargo clippy --all-targets $(EVERYTHING) -- -D warnings
	cargo clippy --all-targets --workspace --no-default-features $(CARGO_FLAGS) -- -D warnings

doc: ## build the documentation of the crates; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps $(EVERYTHING)

# The advisory database lives on GitHub. Where that is out of reach the check is skipped, and says so.
deny: ## check the dependencies: licences, bans, sources, and known advisories (deny.toml)
	@command -v cargo-deny >/dev/null || { \
		echo "make deny needs cargo-deny, which is missing. Install it with: cargo install cargo-deny --locked"; exit 1; }
	cargo deny check bans licenses sources
	cargo deny --manifest-path examples/webrtc/Cargo.toml check licenses sources
	@if cargo deny fetch db >/dev/null 2>&1; then \
		echo cargo deny check --disable-fetch advisories; cargo deny check --disable-fetch advisories; \
	else \
		echo "SKIPPED: advisories were not checked, the RustSec database cannot be fetched (cargo deny fetch db)"; \
	fi

install: build ## install programs, manual pages, completions, the configuration and a systemd unit under PREFIX (/usr/local); keeps a configuration
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR)/signallingserver
	install -m 755 $(PROGRAMS:%=bin/%) $(DESTDIR)$(PREFIX)/bin/
	bin/roundtable-probe papers $(DESTDIR)$(PREFIX)/share
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' packaging/signallingserver.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/signallingserver.service
	@if [ -e $(DESTDIR)$(SYSCONFDIR)/signallingserver/config.yaml ]; then \
		echo "kept $(DESTDIR)$(SYSCONFDIR)/signallingserver/config.yaml"; \
	else \
		install -m 644 config.yaml $(DESTDIR)$(SYSCONFDIR)/signallingserver/config.yaml; \
	fi
	@echo "run: $(PREFIX)/bin/signallingserver --config-file-path $(SYSCONFDIR)/signallingserver/config.yaml"

clean: ## remove what was built
	cargo clean
	rm -rf bin
