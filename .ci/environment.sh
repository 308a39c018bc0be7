# Sourced by run_demo.sh and run_tests.sh, in the project's root: an environment with the requirements installed.
# An active virtual or conda environment is used as it is; else .venv is made. Sets PYTHON.
if [ -n "${VIRTUAL_ENV:-}" ] || [ -n "${CONDA_PREFIX:-}" ]; then
    PYTHON=python
else
    if [ ! -x .venv/bin/python ]; then
        found=
        for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
            if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
                found=$candidate
                break
            fi
        done
        if [ -z "$found" ]; then
            echo "error: needs Python 3.10 or newer on the PATH" >&2
            exit 2
        fi
        trap 'rm -rf .venv; exit 130' HUP INT TERM # half of one would be taken for a whole one
        if ! "$found" -m venv .venv; then
            rm -rf .venv
            echo "error: $found -m venv .venv failed; on Debian and Ubuntu: apt install python3-venv" >&2
            exit 2
        fi
        trap - HUP INT TERM
    fi
    PYTHON=.venv/bin/python
    if ! "$PYTHON" -m pip --version > /dev/null 2>&1; then
        echo "error: .venv has no pip; remove it, and this script makes another" >&2
        exit 2
    fi
fi
"$PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt
