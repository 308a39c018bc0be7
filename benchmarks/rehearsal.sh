#!/bin/sh
# A rehearsal at SYSU-MM01's full size on rendered people: all stages, a few epochs each, every phase timed.
# Runs in pieces, each of which ends within some minutes and is skipped when it is done: call it until it says so.
#
#   sh benchmarks/rehearsal.sh                 on a GPU
#   SMALL=1 sh benchmarks/rehearsal.sh         the same commands, tiny, on the CPU, to see that they run
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
if [ -n "${SMALL:-}" ]; then
    data=data/rehearsal_small logs=logs/rehearsal_small
    people="--train-ids 8 --val-ids 2 --test-ids 5 --height 96 --width 32"
    start="--preset demo --steps 3 --worlds 1 --people 20 --groups 2 --device cpu"
    train="--preset demo --device cpu --batch-size 16 --k1 8 --k2 3 --min-samples 2 --eps 0.6 --camera-batch-size 16"
    epochs="--epochs 1 1 --iters 2 2 --camera-epochs-visible 1 --camera-epochs-infrared 1 --camera-keep-from 0"
    limit=60
else
    data=data/rehearsal logs=logs/rehearsal
    people="--train-ids 296 --val-ids 99 --test-ids 96 --shots-visible 18 --shots-infrared 16 --height 384 --width 128"
    start="--preset paper --steps 400 --worlds 4 --people 60 --groups 4 --lr 3e-4 --device cuda"
    train="--preset paper --device cuda --compile"
    epochs="--epochs 2 2 --camera-epochs-visible 2 --camera-epochs-infrared 2 --camera-keep-from 0 --eval-start 0"
    limit=540
fi
step() {
    mkdir -p "$logs"
    if [ -e "$logs/$1.done" ]; then return; fi
    name=$1
    shift
    echo "== $name: $*"
    started=$(date +%s)
    timeout --signal=TERM "$limit" "$@" || { [ $? -eq 124 ] && echo "$name: not finished yet, call again"; exit 1; }
    echo "$(($(date +%s) - started))" > "$logs/$name.done"
}
# shellcheck disable=SC2086
{
    step render "$python" -m tokenmatcher.people sysu --out "$data" --seed 5 --workers "$(nproc)" $people
    step prepare "$python" prepare_sysu.py --data-dir "$data"
    step start "$python" -m tokenmatcher.people.tracklets --out "$logs/start.pth" $start
    step train "$python" train_sysu.py --data-dir "$data" --logs-dir "$logs/run" --resume auto --no-progress \
        --pretrained-path "$logs/start.pth" $train $epochs
}
"$python" -m benchmarks.rehearsal --logs-dir "$logs/run" ${SMALL:+--out "$logs/rehearsal.json"}
