# Shorthand for those who like make; each line can be typed by hand as well.
.PHONY: quickstart canvas test slow lint format docs site constraints ci

quickstart:          ## train and sample the smallest whole latent diffusion model
	./loom workflows/quickstart.json

canvas:              ## open the canvas in the browser
	./loom canvas

test:                ## the fast tests
	./loom test

slow:                ## real trainings and kills
	./loom test -m slow

lint: .venv/installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/installed
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

docs: .venv/installed ## write the node reference anew
	.venv/bin/python -m graph_runner nodes --markdown docs/nodes.md

site: .venv/installed ## the documentation as a site, in build/site
	.venv/bin/python -m sphinx -W -q -b html -c docs . build/site

constraints: .venv/installed ## the versions that are installed now become the pinned ones
	{ head -1 constraints.txt; { .venv/bin/pip freeze --exclude-editable | sed 's/+cpu//' | grep -vE '^(nvidia|cuda|triton|wandb|mlflow)'; \
	  grep -E '^(wandb|mlflow-skinny)==' constraints.txt; } | sort -f; } > .venv/new # the last two are of extras that nothing installs
	mv .venv/new constraints.txt

ci:                  ## everything that must pass
	bash .ci/run

.venv/installed: pyproject.toml constraints.txt
	./loom install
