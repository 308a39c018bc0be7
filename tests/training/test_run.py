from dataclasses import replace

import torch
from small import small_run

from tokenmatcher.contracts import Modality
from tokenmatcher.data.store import ImageStore


def test_clustering_sees_the_pictures_made_for_it(tmp_path):
    run = small_run(tmp_path, dict.fromkeys(Modality, 8))
    trained_on = run.extract(Modality.VISIBLE)
    black = ImageStore(torch.zeros_like(run.sets[Modality.VISIBLE].store.images))
    run.sets[Modality.VISIBLE] = replace(run.sets[Modality.VISIBLE], cluster_store=black)
    clustered = run.extract(Modality.VISIBLE)
    assert (clustered == clustered[0]).all()
    assert not torch.equal(clustered, trained_on)
