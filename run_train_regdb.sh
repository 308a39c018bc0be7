#!/bin/sh
# The paper's recipe on RegDB: ten trials, each with its own split and model, stage 1 and stage 2.
#
# Needs   data/regdb with Visible, Thermal and idx, and the training copy: python prepare_regdb.py --data-dir data/regdb
#         pretrained/vit_base_ics_cfs_lup.pth (README.md, "Pre-trained model")
# Expect  visible to infrared rank-1 92.96, mAP 86.32, mean of ten trials (the authors' figures)
# Some trials only: TRIALS="1 2" sh run_train_regdb.sh
# Further arguments go to train_regdb.py: sh run_train_regdb.sh --resume auto
set -eu
cd "$(dirname "$0")"
for trial in ${TRIALS:-1 2 3 4 5 6 7 8 9 10}; do
    "${PYTHON:-python}" train_regdb.py --preset paper --trial "$trial" "$@"
done
