"""The library in a few lines; docs/python.md shows this file, and a test runs it.

python -m examples.from_python
"""

import numpy as np
import torch

from tokenmatcher import (
    Modality,
    centroids,
    cross_modality_scores,
    embed,
    load_model,
    match_clusters,
    preset,
    pseudo_labels,
    token_neighbours,
)
from tokenmatcher.people import World, render

model, report = load_model("pretrained/demo_vit.pth", config=preset("sysu", "demo").model)  # or TokenViT(config)
world, people, shots = World(height=96, width=32), range(12), range(8)
features, labels = {}, {}
for modality, camera in ((Modality.VISIBLE, 1), (Modality.INFRARED, 6)):
    pictures = [render(world, person, camera, shot).transpose(2, 0, 1) for person in people for shot in shots]
    features[modality] = embed(model, torch.from_numpy(np.stack(pictures)), modality)
    labels[modality] = pseudo_labels(features[modality], k1=8, k2=3, eps=0.5, min_samples=2)
centres = {m: centroids(features[m], labels[m]) for m in Modality}
match = match_clusters(centres[Modality.VISIBLE], centres[Modality.INFRARED])
neighbours = token_neighbours(*features.values(), num_tokens=4, ratio=0.9, votes=4)
unit = {m: torch.nn.functional.normalize(features[m]) for m in Modality}
truth = np.repeat(people, len(shots))
similarity = unit[Modality.INFRARED] @ unit[Modality.VISIBLE].T
scores = cross_modality_scores(similarity, truth, truth, distinct_identities=True)
print(report, match.column_of_row, neighbours.num_edges, scores.to_dict(), sep="\n")
