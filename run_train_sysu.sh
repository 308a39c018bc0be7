#!/bin/sh
# The paper's recipe on SYSU-MM01: stage 1, camera stage, stage 2.
#
# Needs   data/sysu with cam1..cam6 and exp/, and the training copy: python prepare_sysu.py --data-dir data/sysu
#         pretrained/vit_base_ics_cfs_lup.pth (README.md, "Pre-trained model")
# Expect  all-search rank-1 65.07, mAP 62.79 (the authors' figures, best model on the test set)
# Further arguments go to train_sysu.py: sh run_train_sysu.sh --resume auto --data-dir /mnt/sysu
set -eu
cd "$(dirname "$0")"
exec "${PYTHON:-python}" train_sysu.py --preset paper "$@"
