# Shortcuts; CONTRIBUTING.md tells what they are for. `just --list` shows them, https://just.systems is the program.

set positional-arguments

# The fast tests, or some of them: just test tests/test_ledger.py
test *arguments:
    uv run --all-extras pytest -n auto "$@"

# Every test, as CI runs them
test-all *arguments:
    uv run --all-extras pytest -n auto -m '' "$@"

# Style and types
check:
    uv run --all-extras ruff check .
    uv run --all-extras ruff format --check .
    uv run --all-extras mypy

# Draw a miniature EgoDex and convert it
demo *arguments:
    uv run python -m dataset_upload.generate_hf_dataset --config_path=egodex_demo.yaml "$@"

# A benchmark by its name: just bench convert --episodes /path/to/egodex/test
bench name="convert" *arguments:
    uv run --group bench python benchmarks/{{name}}.py {{arguments}}
