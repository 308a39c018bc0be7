import numpy as np
from small import small_trainer

from tokenmatcher.contracts import Modality
from tokenmatcher.training import pace
from tokenmatcher.training.pace import Pace, work_of


def test_work_is_what_the_network_is_passed(tmp_path):
    trainer = small_trainer(tmp_path, dict.fromkeys(Modality, 24))
    first, camera = trainer.stages[0], trainer.stages[1]
    batch = 16 + 16  # of each modality; the visible half is twins
    assert work_of(first, trainer.images) == 3 * 2 * batch + 2 * 48
    own = np.count_nonzero(trainer.images[camera.modality].cameras == camera.camera)
    assert work_of(camera, trainer.images) == 3 * 2 * 16 + 2 * own


def test_what_is_left_goes_by_what_is_done(tmp_path, monkeypatch):
    trainer = small_trainer(tmp_path, dict.fromkeys(Modality, 24))
    clock = iter([100.0, 110.0, 130.0])
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(clock))
    first, last = trainer.stages[0], trainer.stages[-1]
    measured = Pace(trainer.stages, ("1", "2"), trainer.images)
    of_first, of_last = work_of(first, trainer.images), work_of(last, trainer.images)
    assert measured.left(0, 0) == 10 * of_last * last.epochs / of_first, (
        "10 s for stage 1; the camera stage is not asked for"
    )
    assert measured.left(len(trainer.stages) - 1, last.epochs - 1) == 0
