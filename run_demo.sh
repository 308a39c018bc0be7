#!/bin/sh
# The whole method on rendered people, on the CPU: set-up, data, training, test, one table.
# A second call reuses what the first one made. SEED=2 sh run_demo.sh trains another run beside it.
set -eu
cd "$(dirname "$0")"
. .ci/environment.sh
logs=logs/demo${SEED:+-seed$SEED}
"$PYTHON" -m tokenmatcher.people sysu --out data/demo --train-ids 100 --test-ids 40 --seed 7 --workers 2
"$PYTHON" prepare_sysu.py --data-dir data/demo
"$PYTHON" -m examples.demo --data-dir data/demo --logs-dir "$logs" --seed "${SEED:-1}" --json "$logs/scores.json"
