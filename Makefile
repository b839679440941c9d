# Siren. `make` alone lists the targets; Python does the work. See README.md.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BASE_PYTHON ?= python3
DATA        ?= data
VENV        ?= .venv
# DATA="$SCRATCH" of a variable that has no value does not make /demo.
override DATA := $(or $(DATA),data)
# A query's $ is its own: make would take '$1' out of it.
override Q := $(value Q)
export DATA Q
export PYTHONHASHSEED := 0

# .venv/ready-<hash> names the lock that the environment was made from: a changed lock makes a new one.
LOCK_HASH := $(shell cat requirements.lock requirements-setup.lock | { sha256sum 2> /dev/null || shasum -a 256; } | cut -c1-16)
THIS      := $(firstword $(MAKEFILE_LIST))
READY     := $(VENV)/ready-$(LOCK_HASH)
PYTHON    := $(VENV)/bin/python

DEMO := $(DATA)/demo
MATRIX := $(DATA)/matrix
DEMO_PROTOCOLS := inner/librisevoc inner/wavefake inner/decro_en inner/decro_zh cross_method/librisevoc \
  cross_method/wavefake cross_dataset/librisevoc cross_language/wavefake_en_ja cross_language/decro_zh_en \
  cross_language/decro_en_zh official/asvspoof2019_la

CORPORA := $(filter-out _%,$(basename $(notdir $(wildcard ingest/corpora/*.py))))
INGEST_FLAGS = $(if $(filter-out 0 no false,$(PARTIAL)),--partial) $(if $(LJSPEECH),--ljspeech "$(LJSPEECH)") $(if $(JSUT),--jsut "$(JSUT)")

# A misspelt one was passed over: `make benchmark PROTOCOL=...` ran every protocol.
VARIABLES := BASE_PYTHON COUNT DATA DETECTORS JSUT LJSPEECH MINUTES PARTIAL PROTOCOLS PYTHON Q ROOT SEED SEEDS VENV
UNKNOWN := $(strip $(foreach name,$(filter-out $(VARIABLES),$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(name))))
$(if $(UNKNOWN),$(error make knows no $(UNKNOWN), but $(VARIABLES); one for the programs goes before make: NAME=value make))

.PHONY: help setup environment demo test lint matrix fuzz faults bench benchmark leaderboard site docs figures app sql all-corpora readme lock $(CORPORA)

help:  ## this list
	@sed -nE 's/^\$$\(CORPORA\):.*## /<corpus> /p; s/^([a-z-]+):.*## /\1 /p' $(MAKEFILE_LIST) | \
	  awk '{name=$$1; $$1=""; printf "  make %-14s%s\n", name, $$0}'
	@echo "  <corpus> is one of: $(CORPORA)"

setup: $(READY)  ## make .venv from the lock, once per lock
$(READY):  # one make at a time: the next one finds it done
	@test -w $(THIS) && exec 9<> $(THIS) || exec 9< $(THIS); \
	  ! command -v flock > /dev/null || flock -n 9 || { echo "waiting for another make, which sets up $(VENV)"; flock 9; }; \
	  test -e $(READY) || $(MAKE) --no-print-directory environment
environment:
	@$(BASE_PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 13) else \
	  f"Siren needs Python 3.11 or 3.12, {sys.executable} is {sys.version.split()[0]}: make BASE_PYTHON=python3.12 ...")'
	@test ! -e "$(VENV)" -o -z "$$(ls -A "$(VENV)" 2>/dev/null)" -o -e "$(VENV)/.siren" -o "$(VENV)" = .venv || \
	  { echo "make: VENV=$(VENV) holds something that make setup did not put there: name a folder of its own" >&2; exit 2; }
	rm -rf "$(VENV)"
	$(BASE_PYTHON) -m venv "$(VENV)"
	@touch "$(VENV)/.siren"  # it may be removed when the lock has changed
	$(PYTHON) -m pip install --quiet --require-hashes --no-deps -r requirements-setup.lock
	$(VENV)/bin/uv pip sync --quiet --python $(PYTHON) --require-hashes --compile-bytecode requirements.lock
	@touch $(READY)

demo: $(READY)  ## ingest to leaderboard on corpora that it makes itself, in DATA/demo
	$(PYTHON) -m ingest simulate --data "$(DEMO)" --out "$(DEMO)/corpora"
	$(PYTHON) -m ingest all --data "$(DEMO)" --root "$(DEMO)/corpora"
	$(PYTHON) -m shards all --data "$(DEMO)"
	$(PYTHON) -m features all --data "$(DEMO)" --feature logmel
	$(PYTHON) -m benchmark run --data "$(DEMO)" --protocol $(DEMO_PROTOCOLS) --detector mean_pool lfcc_gmm lfcc_lcnn \
	  --set lfcc_gmm.components=16 lfcc_lcnn.epochs=4 lfcc_lcnn.lr=1e-3 lfcc_lcnn.batch_size=16
	$(PYTHON) -m benchmark shortcuts --data "$(DEMO)" --protocol $(DEMO_PROTOCOLS)
	$(PYTHON) -m reports leaderboard --data "$(DEMO)"
	@printf 'Read %s/reports/leaderboard.md; ask: make sql DATA=%q Q="SELECT * FROM leaderboard LIMIT 5"\n' "$(DEMO)" "$(DEMO)"

test: $(READY)  ## the tests
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist worksteal

lint: $(READY)  ## ruff: lint and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

matrix: $(READY)  ## a tiny form of every detector, every protocol, 2 seeds, on simulated corpora
	$(PYTHON) -m ingest simulate --data "$(MATRIX)" --out "$(MATRIX)/corpora"
	$(PYTHON) -m ingest all --data "$(MATRIX)" --root "$(MATRIX)/corpora"
	$(PYTHON) -m shards all --data "$(MATRIX)"
	$(PYTHON) -m benchmark run --data "$(MATRIX)" --grid matrix
	$(PYTHON) -m benchmark shortcuts --data "$(MATRIX)"
	$(PYTHON) -m reports leaderboard --data "$(MATRIX)"

fuzz: $(READY)  ## every parser on mutated input, MINUTES (10) each; findings go to fuzz-findings/
	$(PYTHON) tests/fuzz/run.py --minutes $(or $(MINUTES),10)

faults: $(READY)  ## kills, full disks, damaged inputs ...: COUNT (500) over all stages by SEED (0), each compared with a run in peace
	$(PYTHON) tests/faults/run.py --count $(or $(COUNT),500) --seed $(or $(SEED),0)

bench: $(READY)  ## every speed figure beside its limit or peer; writes docs/performance.md
	$(PYTHON) -m reports bench

$(CORPORA): $(READY)  ## catalog, shards, features of one corpus: make wavefake ROOT=~/corpora/WaveFake [PARTIAL=1]
	@test -n "$(ROOT)" || { echo "make $@: pass the folder of the corpus: make $@ ROOT=/path/to/corpus" >&2; exit 2; }
	$(PYTHON) -m ingest $@ --root "$(ROOT)" --data "$(DATA)" $(INGEST_FLAGS)
	$(PYTHON) -m shards $@ --data "$(DATA)"
	$(PYTHON) -m features $@ --data "$(DATA)"

all-corpora: $(READY)  ## every corpus below ROOT, each in a folder of its target's name: ROOT=~/corpora [PARTIAL=1]
	@test -n "$(ROOT)" || { echo "make $@: pass the folder that holds the corpora: make $@ ROOT=/path/to/corpora" >&2; exit 2; }
	$(PYTHON) -m ingest all --root "$(ROOT)" --data "$(DATA)" $(INGEST_FLAGS)
	$(PYTHON) -m shards all --data "$(DATA)"
	$(PYTHON) -m features all --data "$(DATA)"

benchmark: $(READY)  ## every protocol the catalog can run: [PROTOCOLS=..] [DETECTORS=..] [SEEDS=3]
	$(PYTHON) -m benchmark run --data "$(DATA)" $(if $(PROTOCOLS),--protocol $(PROTOCOLS)) \
	  $(if $(DETECTORS),--detector $(DETECTORS)) $(if $(SEEDS),--seeds $(SEEDS))

leaderboard: $(READY)  ## DATA/reports/leaderboard.md from the results catalog
	$(PYTHON) -m reports leaderboard --data "$(DATA)"

site: $(READY)  ## DATA/reports/site/index.html: pages that open from the file, without any network
	$(PYTHON) -m reports site --data "$(DATA)"

docs: $(READY)  ## this documentation as pages in site/, which open from the file
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo 'Open site/index.html'

figures: $(READY)  ## DATA/reports/figures/*.svg and *.png: DET, heat map, learning curves, t-SNE, Grad-CAM, ...
	$(PYTHON) -m reports figures --data "$(DATA)"

app: $(READY)  ## a web page on this machine that judges recordings with the runs below DATA
	$(PYTHON) -m benchmark app --data "$(DATA)"

sql: $(READY)  ## a read-only query: make sql Q="SELECT * FROM leaderboard"
	@test -n "$$Q" || { echo 'make sql: pass the query: make sql Q="SELECT * FROM leaderboard"' >&2; exit 2; }
	@$(PYTHON) -m reports sql "$$Q" --data "$(DATA)"

readme: $(READY)  ## bring the README's generated tables up to date
	$(PYTHON) -m reports readme

lock: $(READY)  ## write requirements.lock anew from pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header \
	  --fork-strategy fewest --group dev pyproject.toml -o requirements.lock
