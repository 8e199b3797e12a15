# `make tune` runs the main job on a demo plate, `make check` checks what needs no Ray, server or browser, `make test` all.
PYTHON ?= python3
JOBS ?= 2
# The tests of a file share a process, and with it fixtures.
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
BIN := .venv/bin
# Without compiled modules each of the many processes compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: tune thesis check test lint types bench lock release clean

tune: .venv
	$(BIN)/python -m leigh_mlops.tune

# DATA is a folder of images, THESIS holds options such as --image-size 64 --epochs 5 (docs/thesis.md).
thesis: .venv
	$(BIN)/python -m benchmarks.thesis $(DATA) $(THESIS)

check: lint types .venv
	$(BIN)/python -m pytest $(PARALLEL) -m "not ray and not server and not browser"

test: lint types .venv
	$(BIN)/python -m pytest $(PARALLEL)

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv
	$(BIN)/mypy

bench: .venv
	@for name in startup names cache batches memory class_means iresnet real_search search_page report_page occlusion transport shams edits job job_workers job_again waiting_threads many_trials first_metric overhead nights chaos; do $(BIN)/python -m benchmarks.$$name || exit 1; done

# uv installs the pins in seconds, and is one of them: its own lines of the lock install it first.
# The stamp is written last, so that an interrupted installation starts again.
.venv: .venv/.installed
.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock: .venv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet --upgrade -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra cluster -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --quiet -o deploy/requirements.lock

# The distributions, their bill of materials (CycloneDX), and a look into the list of known vulnerabilities before.
release: lint types .venv
	$(BIN)/python -m release.vulnerabilities
	rm -rf dist
	$(BIN)/python -m release.sbom dist/leigh_mlops.cdx.json
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv build --quiet --no-build-isolation --out-dir dist

clean:
	rm -rf .venv
