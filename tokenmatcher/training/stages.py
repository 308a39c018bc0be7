"""The stages in order, and stage 1 and 2 epoch by epoch.

Stage 1 trains each modality against its own pseudo labels. The camera stage (SYSU-MM01) finds, within each
camera alone, the local labels that tell its people apart. Stage 2 trains both modalities together.
Each epoch: extract, cluster, mine and match, freeze targets, train, test, log, checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.data.batches import plan_joint_epoch
from tokenmatcher.evaluation.diagnostics import neighbour_quality, right_matches
from tokenmatcher.mining.clusters import pseudo_labels
from tokenmatcher.mining.faiss_search import reason_for_cpu
from tokenmatcher.mining.knn import nearest
from tokenmatcher.recipe import STAGES
from tokenmatcher.training.camera_stage import camera_stage
from tokenmatcher.training.degenerate import demand_clusters, notes_on_labels, notes_on_targets
from tokenmatcher.training.engine import cosine
from tokenmatcher.training.epoch import close_epoch, train_planned
from tokenmatcher.training.objectives import ContrastObjective, JointObjective, Objective
from tokenmatcher.training.run import BEST, LAST, Clock, Run, ScoresByProtocol
from tokenmatcher.training.targets import JointTargets, contrast_targets, joint_targets

SEARCHES = {"exact": "torch", "approximate": "ivf"}  # --neighbour-search, as backend of `nearest`


def train(run: Run, stages: Sequence[str]) -> None:
    """Do the named stages in order, from where a resumed run stood."""
    reached = 0 if run.resumed is None else STAGES.index(run.resumed["stage"])
    for stage in STAGES[reached:]:
        if stage not in stages:
            continue
        if stage == "camera":
            camera_stage(run)
        else:
            two_modality_stage(run, stage)


def two_modality_stage(run: Run, stage: str) -> None:
    """Stage "1" or "2"."""
    recipe, which = run.recipe, int(stage) - 1
    schedule, epochs = recipe.schedule, recipe.schedule.epochs[which]
    resumed = run.take_up(stage)
    if stage == "2" and resumed is None:
        run.begin_with(run.stage_one_weights())
    optimizer = run.optimizer(None if resumed is None else resumed["optimizer"])
    best = -1.0 if resumed is None else resumed["best"]
    for epoch in range(0 if resumed is None else resumed["epoch"], epochs):
        clock, title = Clock(), f"stage {stage} epoch {epoch}"
        entry: dict[str, Any] = {"stage": stage, "epoch": epoch, "seconds": clock.seconds}
        fresh = stage == "2" and epoch == 0  # then the weights are still stage 1's
        features = {m: run.at_start(m) if fresh else run.extract(m) for m in Modality}
        run.start_features.clear()
        clock.lap("extract")
        labels = {m: _label(run, features[m], m, title) for m in Modality}
        entry["labels"] = {m.value: run.describe(labels[m], m) for m in Modality}
        entry["notes"] = [note for m in Modality for note in _notes(run, stage, features[m], labels[m], m)]
        clock.lap("cluster")
        objective = _objective(run, stage, epoch, features, labels, entry)
        clock.lap("mine")
        rate = cosine(epoch, epochs, schedule.lr[which], schedule.lr_min[which])
        plans = plan_joint_epoch(
            labels,
            run.sets,
            recipe.data,
            iters=schedule.iters[which],
            rng=run.random.order,
            other_cameras=stage == "1",
        )
        result = train_planned(
            run,
            objective,
            plans,
            optimizer,
            rate,
            place={"stage": stage, "epoch": epoch},
            twins=True,
            jitter_plain=stage == "2" or recipe.data.jitter_everywhere,
        )
        entry |= {"lr": rate, **asdict(result)}
        clock.lap("train")
        scores = _test(run, epoch, epochs)
        if scores:
            entry["scores"] = scores
            clock.lap("test")
        run.log.epoch(entry)
        headline = next(iter(scores.values()))["mAP" if stage == "1" else "rank1"] if scores else -1.0
        if headline > best:
            best = headline
            run.save(run.folder_of(stage) / BEST, f"{title}, best on the test set so far", scores=scores)
        state = {"stage": stage, "epoch": epoch + 1, "optimizer": optimizer.state_dict(), "best": best}
        run.save(run.folder_of(stage) / LAST, f"{title}, the last", scores=scores, state=state)
        close_epoch(run, run.folder_of(stage))


def _label(run: Run, features: Tensor, modality: Modality, title: str) -> PseudoLabels:
    config = run.recipe.clusters
    unit, count = F.normalize(features, dim=1), len(features)
    mine = torch.arange(count, device=features.device)[run.team.part(count)]
    own = nearest(
        unit,
        max(config.k1, config.k2),
        rows=mine if len(mine) < count else None,
        backend=SEARCHES[config.neighbour_search],
        progress=run.progress,
    )
    lists = run.team.join(own[0], count), run.team.join(own[1], count)
    found = run.team.decide(
        lambda: pseudo_labels(
            features,
            k1=config.k1,
            k2=config.k2,
            eps=config.eps,
            min_samples=config.min_samples,
            neighbours=lists,
            progress=run.progress,
        )
    )
    demand_clusters(found, modality, run.recipe, title)
    return found


def _notes(run: Run, stage: str, features: Tensor, found: PseudoLabels, modality: Modality) -> list[str]:
    notes = notes_on_labels(
        found,
        modality,
        k1=run.recipe.clusters.k1,
        people=run.recipe.data.people(modality),
        cameras=run.sets[modality].cameras if stage == "1" and run.dataset == "sysu" else None,
    )
    if run.recipe.clusters.neighbour_search == "approximate" and run.device.type == "cuda":
        reason = reason_for_cpu(features)
        notes += [f"{modality}: neighbours searched on the CPU, {reason}"] if reason else []
    return notes


def _objective(
    run: Run,
    stage: str,
    epoch: int,
    features: dict[Modality, Tensor],
    labels: dict[Modality, PseudoLabels],
    entry: dict[str, Any],
) -> Objective:
    recipe = run.recipe
    if stage == "1":
        return ContrastObjective(contrast_targets(features, labels, run.team), recipe.losses)
    targets = joint_targets(
        features,
        labels,
        recipe.mining,
        recipe.model.num_tokens,
        cameras={m: run.sets[m].cameras for m in Modality},
        local_labels=run.local_labels,
        team=run.team,
    )
    entry |= _describe(run, targets)
    entry["notes"] += notes_on_targets(targets)
    return JointObjective(targets, recipe.losses, epoch)


def _describe(run: Run, targets: JointTargets) -> dict[str, Any]:
    """What matching and neighbours look like, for the log."""
    identities = {m: run.sets[m].identities for m in Modality}
    match, labels = targets.match, targets.labels
    return {
        "match": {
            "ratio": labels[Modality.VISIBLE].num_clusters / labels[Modality.INFRARED].num_clusters,
            "capacity": match.capacity,
            "raised": match.capacity > run.recipe.mining.match_capacity,
            "matched_columns": float(np.unique(match.column_of_row).size / match.num_columns),
            "fused_pairs": len(match.fused_pairs()),
            "right": right_matches(match, labels, identities),
        },
        "neighbours": {
            f"{anchor.value[:3]}-{target.value[:3]}": neighbour_quality(found, identities[anchor], identities[target])
            for (anchor, target), found in targets.neighbours.items()
        },
    }


def _test(run: Run, epoch: int, epochs: int) -> ScoresByProtocol:
    schedule = run.recipe.schedule
    due = epoch >= schedule.eval_start and (epoch - schedule.eval_start) % schedule.eval_every == 0
    if run.evaluate is None or not (due or epoch + 1 == epochs):
        return {}
    return run.evaluate(run.model)
