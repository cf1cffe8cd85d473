# `make book` builds the book, `make test` checks everything; `make help` lists the rest.

PYTHON  ?= python3
PROFILE ?= seed
BUILD   ?= _build
REQUIREMENTS ?= requirements.txt

BIN     := .venv/bin
NPM     := $(shell command -v npm)
RUN     := $(BUILD)/run/$(PROFILE)
TRAINING := $(wildcard notebooks/06_training.ipynb)
CODE    := $(wildcard mna/*.py)
SOURCES := _config.yml _toc.yml genindex.md $(shell find book notebooks results -type f -not -path '*/.*' -not -name '*.pyc')

.PHONY: help book pdf epub serve test newest colab notebooks lint address bench public evidence measure clean FORCE

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

book: $(BUILD)/html/index.html ## train the agent (PROFILE=seed, smoke or full), build the book
	@$(if $(TRAINING),$(BIN)/python book/_ext/record.py $(RUN)/record.json)
	@echo "Open $(abspath $(BUILD)/html/index.html), or run: make serve"

pdf: book ## print the built book into one PDF (needs chromium)
	@$(BIN)/python scripts/pdf.py $(BUILD)/html $(BUILD)/model-native-agents.pdf

epub: book ## build the book as an EPUB from the same sources (needs node and npm)
	@$(BIN)/python scripts/epub.py $(BUILD)/source $(BUILD)/model-native-agents.epub

serve: .venv/.stamp ## show the built book on 127.0.0.1 (PORT=8000), for at most 8 hours
	@$(BIN)/python scripts/serve.py $(BUILD)/html

test: .venv/.stamp ## lint, tests, every notebook, a book build and its links
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile tests notebooks \
		--nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg

# In a copy with an environment of its own. Jupyter Book 2 is another program.
newest: ## run the tests with the newest versions of the dependencies
	rm -rf $(BUILD)/newest && mkdir -p $(BUILD)/newest
	tar -c --exclude=./$(BUILD) --exclude=./_build --exclude="./.venv*" --exclude=./node_modules --exclude=./.git . | tar -x -C $(BUILD)/newest
	sed -E '/^jupyter-book/s/==([^ ]+)/>=\1,<2/; s/==[^ ]+//' requirements.txt >$(BUILD)/newest.txt
	$(MAKE) -C $(BUILD)/newest test BUILD=_build REQUIREMENTS=$(abspath $(BUILD)/newest.txt)

# In an environment that lacks `mna`, with one of its own for each chapter; built once, then used again.
COLAB := .venv-$(if $(OLDEST),oldest,colab)
colab: .venv/.stamp ## run each chapter alone, with only what Colab brings (OLDEST=1: the oldest versions allowed)
	$(BIN)/python scripts/colab.py $(COLAB) $(if $(OLDEST),--oldest)
	OMP_NUM_THREADS=1 MNA_COLAB=$(COLAB) $(BIN)/pytest --durations=0 tests/test_colab.py

notebooks: .venv/.stamp ## run every chapter (or CHAPTER=03_memory), save the outputs and record the run
	OMP_NUM_THREADS=1 $(BIN)/python scripts/chapters.py $(CHAPTER)
	$(BIN)/nbdev-clean

lint: .venv/.stamp ## check the style of the code, chapters included
	$(BIN)/ruff check

address: .venv/.stamp ## carry address and version from pyproject.toml to badges, set-up cells and _config.yml
	$(BIN)/python scripts/address.py

bench: .venv/.stamp ## measure what the package costs (SHORT=1: quickly; BASE=<rev>: ratios to a revision)
	@$(BIN)/python -m benchmarks $(if $(SHORT),--short) $(if $(BASE),--base '$(BASE)')

evidence: .venv/.stamp ## make the runs behind chapter 7 that are missing (SMOKE=1: check the pipeline; JOBS=2; ARMS=…)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.evidence --jobs $(or $(JOBS),2) $(if $(ARMS),--arms '$(ARMS)') $(if $(SMOKE),--smoke)
	@$(if $(SMOKE),,$(BIN)/python book/_ext/evidence.py)

public: .venv/.bench ## ask an agent (CHECKPOINT=folder) problems of other hands (EQUATIONS=file: ConPoLe's too)
	@$(if $(CHECKPOINT),,$(error name the folder of an agent: make public CHECKPOINT=folder))
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.public '$(CHECKPOINT)' $(if $(EQUATIONS),--equations '$(EQUATIONS)') --out results/public.json

measure: .venv/.stamp ## count words, lines, figures and exercises of each chapter, and classes of each module
	@$(BIN)/python scripts/measure.py

clean: ## remove what was built; .venv and node_modules stay
	rm -rf _build .pytest_cache .ruff_cache .hypothesis *.egg-info

.venv/.stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d and the book needs 3.11 or newer; name one: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r $(REQUIREMENTS)
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# What only the benchmarks need.
.venv/.bench: .venv/.stamp benchmarks/requirements.txt
	$(BIN)/pip install -q -r benchmarks/requirements.txt
	@touch $@

# What the pages load besides the theme. Where npm fails, the book falls back to public addresses and says so.
node_modules/.stamp: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@ || rm -rf node_modules

# The training chapter, run once for each profile and again when it or the package changes.
$(RUN).ipynb: .venv/.stamp notebooks/06_training.ipynb $(CODE)
	rm -rf $(RUN) && mkdir -p $(@D)
	$(BIN)/papermill notebooks/06_training.ipynb $(RUN).part.ipynb -p profile $(PROFILE) -p out $(RUN)
	mv $(RUN).part.ipynb $@

# The run that the book shows: the last one asked for.
$(BUILD)/06_training.ipynb: $(RUN).ipynb FORCE
	@cmp -s $< $@ || cp $< $@

# Built from a copy of the sources, with the run in place of the saved chapter; the last good book stays until then.
$(BUILD)/html/index.html: $(if $(TRAINING),$(BUILD)/06_training.ipynb) $(SOURCES) $(CODE) scripts/vendor.py $(if $(NPM),node_modules/.stamp)
	rm -rf $(BUILD)/source && mkdir -p $(BUILD)/source
	cp -R _config.yml _toc.yml genindex.md book notebooks results $(BUILD)/source
	$(if $(TRAINING),cp $(BUILD)/06_training.ipynb $(BUILD)/source/notebooks/)
	$(if $(TRAINING),cp $(RUN)/record.json $(BUILD)/source/)
	$(if $(TRAINING),mkdir $(BUILD)/source/run && cp -R $(RUN)/snapshots $(RUN)/agent.* $(RUN)/record.json $(BUILD)/source/run)
	@$(BIN)/python scripts/vendor.py node_modules $(BUILD)/source/vendor
	$(BIN)/jupyter-book build -W -n --keep-going -q $(BUILD)/source >/dev/null
	rm -rf $(BUILD)/html && mv $(BUILD)/source/_build/html $(BUILD)/html
