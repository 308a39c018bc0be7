"""Some steps of training in double precision, by as many processes as there are.

python [-m torch.distributed.run …] tests/doubled.py tests/models/processes.py OUT NETWORK GROUPS…
"""

import sys
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from tokenmatcher.contracts import Modality, PseudoLabels
from tokenmatcher.distributed import started_team
from tokenmatcher.images.augment import Augmenter
from tokenmatcher.images.batches import Batching, make_batches
from tokenmatcher.images.sets import ImageSet
from tokenmatcher.images.store import ImageStore
from tokenmatcher.machine import Machine
from tokenmatcher.memory import ClusterMemory
from tokenmatcher.methods.contrast import ContrastObjective
from tokenmatcher.methods.dual import DualObjective
from tokenmatcher.methods.targets import ContrastTargets
from tokenmatcher.models.networks import build_network
from tokenmatcher.models.norms import same_statistics, spread_groups
from tokenmatcher.models.resnet import NonLocal
from tokenmatcher.presets import preset
from tokenmatcher.training.step import make_optimizer, set_learning_rate, train_step

STEPS, PEOPLE, SHOTS = 3, 4, 4
RECIPE = preset("sysu", "demo").override(
    {
        "height": 32, "width": 16, "patch_size": 8, "stem_channels": 4, "embed_dim": 16, "depth": 2, "num_heads": 2,
        "drop_path": 0.3, "batch_size": 16, "num_instances": 4, "optimizer": "sgd",
    }
)  # fmt: skip


RESNET = {"network": "resnet", "layers": (1, 1, 1, 1), "width_per_group": 4, "non_local": True}


def trained(team, network, groups):
    """The weights, statistics and losses after some steps from fixed labels on fixed pictures."""
    recipe = RECIPE.override({"bn_groups": groups})
    config = replace(recipe.model, **RESNET) if network == "resnet" else recipe.model
    torch.manual_seed(0)
    model = build_network(config)
    for module in model.modules():
        if isinstance(module, NonLocal):  # as if it had learned something
            torch.nn.init.ones_(module.norm.weight)
    spread_groups(model, groups, team)
    count, machine = PEOPLE * SHOTS, Machine(team=team)
    labels = np.repeat(np.arange(PEOPLE), SHOTS)
    sets, plans, centroids = {}, {}, {}
    for modality in Modality:
        store = ImageStore(torch.randint(256, (count, 3, 32, 16), dtype=torch.uint8))
        sets[modality] = ImageSet(modality, store, np.ones(count), labels, ())
        half = 2 if modality is Modality.VISIBLE else 1
        plans[modality] = np.stack([np.random.default_rng(s).permutation(count)[: count // half] for s in range(STEPS)])
        centroids[modality] = F.normalize(torch.randn(PEOPLE, model.width), dim=1)
    targets = ContrastTargets({m: PseudoLabels(labels) for m in Modality}, centroids)
    augmenter = Augmenter(recipe.data, (32, 16), torch.Generator().manual_seed(0))
    batching = Batching(
        STEPS, dict.fromkeys(Modality, PEOPLE), SHOTS, other_cameras=False, twins=True, jitter_plain=True
    )
    batches = make_batches(sets, plans, augmenter, batching, machine, depth_branches=len(model.depth_modules))
    optimizer, objective = make_optimizer(model, recipe.schedule), objective_of(targets, recipe.losses, model.parts)
    set_learning_rate(optimizer, 1e-2)
    shared = team.trained(model).train()
    totals = [train_step(shared, objective, batch, optimizer, machine)["total"] for batch in batches]
    same_statistics(shared, team)
    everywhere = team.all_gather_object([value.double().sum().item() for value in model.state_dict().values()])
    assert all(sums == everywhere[0] for sums in everywhere), "all processes end with the same weights and statistics"
    return {"model": model.state_dict(), "total": torch.stack(totals)}


def objective_of(targets, losses, parts):
    """With token diversity where there are several tokens."""
    if parts > 1:
        return ContrastObjective(targets, losses)
    memories = {m: ClusterMemory(centres, losses.momentum) for m, centres in targets.centroids.items()}
    return DualObjective(targets.labels, memories, temperature=losses.temperature, write="each")


if __name__ == "__main__":
    with started_team("cpu") as team:
        results = {int(groups): trained(team, sys.argv[2], int(groups)) for groups in sys.argv[3:]}
        if team.leads:
            torch.save(results, sys.argv[1])
