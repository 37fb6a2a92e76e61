# Only Python 3.11 or newer, make and a package registry are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACK := minilm-domains
SYSTEMS := usual baselines oracles
SEEDS := 1 2 3 4
SETS := acl_citances attack_ttp banking77 esco_titles tldr_cli medquad_liveqa amazon_google esci_sample

.PHONY: help demo test gpu-test lint format docs demo-data pack wheel results results-away results-seeds soak clean

help:            ## show these targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ :/'

demo: $(VENV)/cpu.stamp  ## install, then run the main job on the data inside the package
	$(BIN)/routeret demo

# One process a core, so each computes with one thread. A process takes its tests in the order of the files, so that
# what the tests of a file share is made once; the last ones go to whoever is free.
test: $(VENV)/dev.stamp  ## run the test suite
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

gpu-test:        ## run the tests that need a CUDA device, with the PYTHON of an environment that has routeret[gpu,dev]
	HF_HUB_OFFLINE=1 $(PYTHON) -m pytest -m gpu

lint: $(VENV)/dev.stamp  ## check style, types and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/dev.stamp  ## put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.stamp  ## write the generated documents
	$(BIN)/python docs/make_cli_page.py

demo-data: $(VENV)/cpu.stamp  ## cut the demo's corpora out of eval/data
	$(BIN)/python eval/make_demo_data.py

pack: $(VENV)/cpu.stamp  ## train the shipped pack again from eval/data (up to 40 minutes)
	rm -rf build/$(PACK)
	$(BIN)/routeret pack build eval/packs/$(PACK).toml --out build/$(PACK)
	rm -rf routeret/packs_data/$(PACK)
	mkdir -p routeret/packs_data
	mv build/$(PACK) routeret/packs_data/$(PACK)

results: $(VENV)/cpu.stamp  ## measure the shipped pack again; write eval/results and the pages that show them
	mkdir -p eval/results/home build/embeddings
	$(BIN)/routeret eval --data $(SETS:%=eval/data/%) eval/data/acl_cocite --pack $(PACK) --cache build/embeddings \
		--systems $(SYSTEMS) --output eval/results/home/separate.json
	$(BIN)/routeret eval --data $(SETS:%=eval/data/%) --merged --pack $(PACK) --cache build/embeddings \
		--systems $(SYSTEMS) --output eval/results/home/merged.json
	$(BIN)/routeret router report $(PACK) --json > eval/results/router/report.json
	$(BIN)/python eval/make_results_page.py

results-away: $(VENV)/cpu.stamp  ## measure it on corpora of your own, that no expert knows: make results-away AWAY="FOLDER..."
	mkdir -p eval/results/away build/embeddings
	$(BIN)/routeret eval --data $(AWAY) --pack $(PACK) --cache build/embeddings \
		--systems $(SYSTEMS) --output eval/results/away/separate.json
	$(BIN)/python eval/make_results_page.py

results-seeds: $(VENV)/cpu.stamp  ## measure packs of five seeds, on all sets: make results-seeds AWAY="FOLDER..."
	mkdir -p build/embeddings
	for seed in $(SEEDS); do test -d build/$(PACK)-$$seed || $(BIN)/routeret pack build eval/packs/$(PACK).toml \
		--seed $$seed --out build/$(PACK)-$$seed || exit; done
	$(BIN)/routeret eval --data $(SETS:%=eval/data/%) eval/data/acl_cocite --pack $(PACK) $(SEEDS:%=build/$(PACK)-%) \
		--systems usual known_index_expert --cache build/embeddings --output eval/results/home/separate-seeds.json
	$(BIN)/routeret eval --data $(SETS:%=eval/data/%) --merged --pack $(PACK) $(SEEDS:%=build/$(PACK)-%) \
		--systems base routed known_index known_index_expert --cache build/embeddings --output eval/results/home/merged-seeds.json
	$(BIN)/routeret eval --data $(AWAY) --pack $(PACK) $(SEEDS:%=build/$(PACK)-%) \
		--systems usual known_index_expert --cache build/embeddings --output eval/results/away/separate-seeds.json
	$(BIN)/python eval/make_results_page.py

soak: $(VENV)/dev.stamp  ## kill a thousand writers at random moments; write eval/results/faults/soak.json
	$(BIN)/python tests/faults/random_kills.py --kills 1000 --seed 1 --output eval/results/faults/soak.json

wheel: $(VENV)/dev.stamp  ## build the wheel into dist
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:           ## remove the environment and everything built
	rm -rf $(VENV) dist build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A stamp is newer than what it was installed from, so that a second call installs nothing.
$(VENV)/cpu.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV); this takes a minute or two."
	@$(PIP) install -q -c constraints.txt -e '.[cpu]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV); this takes a minute or two."
	@$(PIP) install -q -c constraints.txt -e '.[cpu,dev]'
	@touch $@
