#!/bin/sh
# Set-up, lint, types and all tests. Arguments go to pytest: sh run_tests.sh -m "not slow"
set -eu
cd "$(dirname "$0")"
. .ci/environment.sh
"$PYTHON" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
"$PYTHON" -m pytest "$@"
