"""A matcher of one's own: clusters that are each other's best; the others have no partner.

    python train_sysu.py --preset demo --data-dir data/demo --matcher examples/own_matcher.py

Nobody is matched by force, as where a person is seen by one modality alone.
"""

import torch

from tokenmatcher.contracts import NO_PARTNER, ClusterMatch, Modality


def match(clusters):
    """`tokenmatcher.mining.matchers.base.Clusters` to a match."""
    similarity = clusters.centroids[Modality.VISIBLE] @ clusters.centroids[Modality.INFRARED].T
    best_infrared, best_visible = similarity.argmax(1), similarity.argmax(0)
    visible, infrared = (torch.arange(count, device=similarity.device) for count in similarity.shape)
    of_visible = torch.where(best_visible[best_infrared] == visible, best_infrared, NO_PARTNER)
    of_infrared = torch.where(best_infrared[best_visible] == infrared, best_visible, NO_PARTNER)
    partner = {Modality.VISIBLE: of_visible.cpu().numpy(), Modality.INFRARED: of_infrared.cpu().numpy()}
    return ClusterMatch(partner, facts={"matched": float((of_visible != NO_PARTNER).float().mean())})
