"""Folders of runs, written by rule, for tests that need no training."""

import json

SCORES = {"rank1": 0.5, "rank5": 0.6, "rank10": 0.7, "rank20": 0.8, "mAP": 0.4, "mINP": 0.3}


def epochs_of(count=2):
    """Lines of stage 1, one camera of each modality, stage 2."""
    lines = [
        {
            "stage": "1",
            "epoch": epoch,
            "seconds": {"extract": 1.0, "train": 2.0 + epoch},
            "labels": {"visible": labels(9 + epoch), "infrared": labels(8)},
            "notes": [f"visible: {9 + epoch} clusters for 16 places in a batch: some come twice"],
            "losses": {"visible": 2.0, "infrared": 1.0, "total": 3.0 - epoch},
            "lr": 1e-4,
        }
        for epoch in range(count)
    ]
    for camera, modality in ((1, "visible"), (3, "infrared")):
        lines.append(
            {
                "stage": "camera",
                "camera": camera,
                "epoch": 0,
                "seconds": {},
                "labels": {modality: labels(4)},
                "notes": [],
            }
        )
    for epoch in range(count):
        trials = [{**SCORES, "rank1": 0.4 + 0.2 * trial} for trial in range(2)]
        lines.append(
            {
                "stage": "2",
                "epoch": epoch,
                "seconds": {"extract": 1.0},
                "labels": {"visible": labels(10), "infrared": labels(8)},
                "match": {"ratio": 1.25, "right": 0.5, "matched": 1.0, "matchable": 0.75},
                "neighbours": {"vis-inf": {"per_image": 1.5, "precision": None}},
                "notes": [],
                "scores": {"all": {**SCORES, "trials": trials}},
            }
        )
    return lines


def labels(clusters):
    return {"clusters": clusters, "outliers": 1, "ari": 0.5, "nmi": 0.75}


def write_run(folder, lines=None, *, run=None, recipe=None, said="TokenMatcher 0.2.0, SYSU-MM01\nnote: odd\n\nstage"):
    """A folder as a run leaves it, without checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    flags = {"dataset": "sysu", "preset": "demo", "seed": 1, **(run or {})}
    (folder / "config.json").write_text(json.dumps({"run": flags, **({} if recipe is None else recipe.to_dict())}))
    text = "".join(json.dumps(line) + "\n" for line in (epochs_of() if lines is None else lines))
    (folder / "log.jsonl").write_text(text)
    (folder / "log.txt").write_text(said)
    return folder
