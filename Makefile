# `make demo` and `make test` do all the set-up that they need; the rest is for developers.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Where this is set, each command of a test compiles SkillOps anew, which is half of the time that it takes to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test suite lint types bench shelf base-images image workflows clean redteam fuzz

help:
	@echo "make demo    tell the whole story on a throw-away repository (no Docker, no key, no network beyond the package index)"
	@echo "make test    run the tests, the linter, the types and the import rules"
	@echo "make suite   run the tests alone"
	@echo "make shelf   check the bundled skills in full, and enter those that pass in registry.yaml, as committed"
	@echo "make base-images    make the images that skills are built on, from Debian's packages (needs root, debootstrap and Docker Engine)"
	@echo "make redteam run the attacks of docs/security.md, and count those that succeed and the honest skills that are blocked"
	@echo "make fuzz    look for inputs that crash a reader of outside data (SECONDS=60 each; TARGET=skill.yaml one of them)"
	@echo "make image   make the image of SkillOps itself, which docs/compose/compose.yaml starts (after base-images)"
	@echo "make bench   measure, as ratios in one run; prints a table and writes bench.json"

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: install Python 3.11 or newer (apt-get install python3 python3-venv)"; exit 5; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=python3.12 make demo names another"; exit 5; }
	@command -v git >/dev/null || { echo "git is missing: apt-get install git"; exit 5; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "The venv module is missing: apt-get install python3-venv"; exit 5; }
	@echo "Setting up .venv: some minutes, this once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'  # an older one takes minutes to choose versions
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@command -v bwrap >/dev/null || { echo "bubblewrap is missing: apt-get install bubblewrap (dnf install bubblewrap, pacman -S bubblewrap)"; exit 5; }
	@$(BIN)/skillops demo

test: lint types suite

suite: $(STAMP)
	@$(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist worksteal

lint: $(STAMP)
	@$(BIN)/ruff check agent reviewers tests
	@$(BIN)/ruff format --check agent reviewers tests
	@$(BIN)/lint-imports

types: $(STAMP)
	@$(BIN)/mypy

bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

redteam: $(STAMP)
	@$(BIN)/python -m tests.redteam

fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@$(BIN)/python -m tests.fuzz $(or $(SECONDS),60) $(TARGET)

base-images: $(STAMP)
	@$(BIN)/python -m agent.builders.base_images $(BASE_IMAGES)

image: $(STAMP)
	@$(BIN)/python -m agent.builders.own_image

shelf: $(STAMP)
	@$(BIN)/python -m agent.starter.shelf

workflows: $(STAMP)
	@$(BIN)/python -m agent.starter.hosted

clean:
	rm -rf .venv .skillops bench.json
