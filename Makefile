# make demo   the whole workflow on the embedded corpus, in minutes
# make test   every test; make unit runs the quick ones alone. Those on a real Slurm need root and
#             Debian packages: without, they are left out and say which (CONTRIBUTING.md)
# make bench  speed and memory, as ratios against what a script would do
# make lint   style of Python and Snakemake files
# Each makes .venv on first use. PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake

.PHONY: demo test unit bench lint clean

.venv/installed: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement envs/requirements.txt
	touch $@

.venv/installed-test: envs/requirements-test.txt .venv/installed
	$(BIN)/pip install --quiet --requirement envs/requirements-test.txt
	touch $@

demo: .venv/installed
	$(SNAKEMAKE) --profile profiles/local
	@echo
	@echo "Done. Look at:"
	@echo "  results/demo/report.html              everything, in a browser"
	@echo "  results/demo/metrics/wer_matrix.csv   word error rates, trained on x tested on"
	@echo "  results/demo/plots/                   figures; start with wer_matrix.png"
	@echo
	@cat results/demo/metrics/wer_matrix.csv

# Tests on a real Slurm mostly wait, so the others run beside them.
test: .venv/installed-test
	@$(BIN)/python -m pytest tests/slurm > .slurm-tests.log 2>&1 & slurm=$$!; \
	$(BIN)/python -m pytest --ignore tests/slurm; others=$$?; \
	wait $$slurm; on_slurm=$$?; \
	cat .slurm-tests.log; \
	test $$others -eq 0 -a $$on_slurm -eq 0

unit: .venv/installed-test
	$(BIN)/python -m pytest tests/unit

bench: .venv/installed-test
	$(BIN)/python benchmarks/run.py

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

clean:
	rm -rf .venv .snakemake data/demo results/demo
