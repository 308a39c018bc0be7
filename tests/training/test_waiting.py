"""A training step waits for the GPU nowhere: it can be prepared while the one before is computed."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from small import RUN_RECIPE, SMALL
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from tokenmatcher.contracts import ClusterMatch, Modality, Neighbours, PseudoLabels
from tokenmatcher.images.augment import Augmenter
from tokenmatcher.images.batches import Batching, make_batches
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.contrast import ContrastObjective
from tokenmatcher.methods.pgm import AlternateObjective
from tokenmatcher.methods.sdcl_objective import SDCLObjective, SDCLTargets, ways_of
from tokenmatcher.methods.targets import ContrastTargets, JointTargets
from tokenmatcher.methods.tokenmatcher import JointObjective
from tokenmatcher.mining.matchers.greedy import match_clusters
from tokenmatcher.models.networks import build_network
from tokenmatcher.presets import preset
from tokenmatcher.training.step import make_optimizer, train_step

COUNT, CLUSTERS, BATCH = 24, 6, 12
LABELS = PseudoLabels(np.arange(COUNT) % CLUSTERS)


class Unpinned(TorchDispatchMode):
    """Refuses copies to the GPU from memory that is not pinned: the driver makes them wait, PyTorch says nothing."""

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        result = operation(*arguments, **(named or {}))
        if operation in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = arguments[operation is torch.ops.aten.copy_.default]
            if result.is_cuda and not source.is_cuda and source.numel():
                assert source.is_pinned(), f"a copy of {tuple(source.shape)} from memory that is not pinned"
        return result


def objective_on(device, stage):
    width = SMALL.num_tokens * SMALL.embed_dim
    unit = functional.normalize(torch.randn(CLUSTERS, width), dim=1)
    labels, centroids = dict.fromkeys(Modality, LABELS), {m: unit.to(device) for m in Modality}
    if stage == "1":
        return ContrastObjective(ContrastTargets(labels, centroids), RUN_RECIPE.losses)
    own = Neighbours(np.arange(COUNT + 1), np.arange(COUNT), COUNT)
    instances = {m: functional.normalize(torch.randn(COUNT, width), dim=1).to(device) for m in Modality}
    neighbours = {(a, b): own for a in Modality for b in Modality}
    match = match_clusters(unit, unit[: CLUSTERS // 2]).match(2)
    labels[match.larger.other] = PseudoLabels(np.arange(COUNT) % (CLUSTERS // 2))
    targets = JointTargets(labels, centroids, centroids, instances, neighbours, match)
    return JointObjective(targets, RUN_RECIPE.losses, 0)


def sdcl_objective_on(device, network, *, sequential):
    """Of an epoch of stage 2, with one memory for both modalities."""
    recipe = preset("sysu", "demo", "sdcl").override({"sequential": sequential})
    rows = [functional.normalize(torch.randn(count, network.part_width), dim=1) for count in (CLUSTERS, COUNT)]
    unit, instances = (values.to(device) for values in rows)
    shared = (ClusterMemory(unit, 0.1), ClusterMemory(unit.flip(1), 0.1))
    targets = SDCLTargets(
        labels=dict.fromkeys(Modality, LABELS.labels),
        memories=dict.fromkeys(Modality, shared),
        instances=dict.fromkeys(Modality, (instances, instances.flip(1))),
        ways=ways_of(10, recipe.mining),
    )
    return SDCLObjective(targets, recipe, 1)


def pgm_objective_on(device):
    """Whose memories take the least similar sample of each cluster, and whose match leaves some without a partner."""
    vectors = functional.normalize(torch.randn(CLUSTERS, SMALL.num_tokens * SMALL.embed_dim), dim=1).to(device)
    memories = {m: ClusterMemory(vectors, 0.2) for m in Modality}
    match = ClusterMatch(dict.fromkeys(Modality, np.array([0, 1, 2, -1, 4, -1])))
    labels = dict.fromkeys(Modality, LABELS)
    return AlternateObjective(labels, memories, match, 0, weight=0.25, temperature=0.05, write="hard")


@pytest.mark.gpu
@pytest.mark.parametrize("stage", ["1", "2", "sdcl", "sdcl sequential", "pgm"])
@pytest.mark.parametrize("stored", ["cpu", "cuda"])
def test_a_step_waits_for_nothing(stage, stored):
    torch.manual_seed(0)
    device = torch.device("cuda", 0)
    machine = Machine(device)
    pixels = torch.randint(256, (COUNT, 3, SMALL.height, SMALL.width), dtype=torch.uint8)
    columns = np.ones(COUNT, dtype=np.int64)
    sets = {m: ImageSet(m, ImageStore(pixels.to(stored)), columns, columns, ()) for m in Modality}
    sdcl = stage.startswith("sdcl")
    config = replace(SMALL, network="two_branch", num_tokens=1) if sdcl else SMALL
    model = build_network(config).to(device).train()
    if sdcl:
        objective = sdcl_objective_on(device, model, sequential=stage == "sdcl sequential")
    else:
        objective = pgm_objective_on(device) if stage == "pgm" else objective_on(device, stage)
    optimizer = make_optimizer(model, RUN_RECIPE.schedule)
    plan = np.stack([np.arange(BATCH) % COUNT] * 3)
    augmenter = Augmenter(RUN_RECIPE.data, (SMALL.height, SMALL.width), torch.Generator().manual_seed(0))
    batches = make_batches(
        sets,
        dict.fromkeys(Modality, plan),
        augmenter,
        Batching(3, dict.fromkeys(Modality, 3), 4, other_cameras=False, twins=True, jitter_plain=True),
        machine,
        depth_branches=len(model.depth_modules),
    )
    train_step(model, objective, next(batches), optimizer, machine)  # libraries make themselves ready
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this switch is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(model, objective, next(batches), optimizer, machine)
        with Unpinned():
            terms = train_step(model, objective, next(batches), optimizer, machine)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(value.is_cuda for value in terms.values())
    assert ("fusion" in terms) == (stage == "2")
    assert ("vis-inf_shallow" in terms) == sdcl
