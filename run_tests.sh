#!/bin/sh
# Set-up, lint, types and all tests. Arguments go to pytest: sh run_tests.sh -m "not slow"
# In two processes (-n 8: in eight, -n 0: in this one), each on one thread unless OMP_NUM_THREADS says otherwise: what
# the tests compute is too small to be shared.
set -eu
cd "$(dirname "$0")"
. .ci/environment.sh
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
extras=$(printf -- ' -r %s' .ci/extras/*.txt)
"$PYTHON" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt $extras
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
"$PYTHON" -m pytest -n 2 --dist worksteal "$@"
