"""The camera filter: clusters found within one camera correct the neighbours found across all of them.

Sizes: N images, E edges.
"""

from __future__ import annotations

import numpy as np

from tokenmatcher.contracts import OUTLIER, Neighbours


def drop_split_neighbours(neighbours: Neighbours, cameras: np.ndarray, local_labels: np.ndarray) -> Neighbours:
    """Drop the neighbours that the camera's own clustering tells apart from their anchor.

    j leaves i's list if both are of the same camera, both have a local label, and the labels differ. Local
    labels are numbered anew in each camera and so are never compared across cameras; an image is never
    dropped from its own list.

    Args:
        neighbours: of N images among themselves (one modality).
        cameras: (N,) camera of each image.
        local_labels: (N,) label of each image in its camera's clustering, -1 for none.

    Raises:
        ValueError: the neighbours are not among N images, or the lengths differ.
    """
    cameras, local_labels = np.asarray(cameras), np.asarray(local_labels)
    size = len(neighbours)
    if neighbours.num_targets != size:
        raise ValueError(f"the filter needs neighbours within one modality, got {size} x {neighbours.num_targets}")
    if cameras.shape != (size,) or local_labels.shape != (size,):
        raise ValueError(f"cameras {cameras.shape} and local labels {local_labels.shape} must both be ({size},)")
    anchors, targets = neighbours.anchors, neighbours.indices
    labelled = (local_labels[anchors] != OUTLIER) & (local_labels[targets] != OUTLIER)
    same_camera = cameras[anchors] == cameras[targets]
    keep = ~(same_camera & labelled & (local_labels[anchors] != local_labels[targets]))
    indptr = np.concatenate([[0], np.cumsum(keep)])[neighbours.indptr]
    return Neighbours(indptr=indptr, indices=targets[keep], num_targets=size)
