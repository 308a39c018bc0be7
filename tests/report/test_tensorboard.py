"""Curves and pictures as TensorBoard's own reader finds them."""

import numpy as np
import pytest
from PIL import Image
from small import small_trainer

from tokenmatcher.contracts import EpochRecord, Modality
from tokenmatcher.report.tensorboard import EVERY, FOLDER, FRAME, RIGHT, WRONG, TensorBoard, curves

pytest.importorskip("tensorboard", reason="tensorboard is not installed")

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED


def record(epoch=0, total=2.5, examples=None):
    return EpochRecord(
        {"stage": "2"}, epoch, 9, seconds={"train": 3.0}, losses={"total": total}, lr=1e-4, gradient=0.5,
        labels={"visible": {"clusters": 9, "ari": float("nan")}}, gpu_memory=2**31,
        facts={"match": {"ratio": 2.5, "raised": True}, "silhouette": 0.25}, images_per_second=99.0,
        scores={"all": {"rank1": 0.5, "trials": [{"rank1": 0.5}]}}, examples=examples or {},
    )  # fmt: skip


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / FOLDER), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def test_every_number_has_a_curve():
    assert dict(curves(record())) == {
        "labels/visible/clusters": 9, "losses/total": 2.5, "scores/all/rank1": 0.5, "training/learning rate": 1e-4,
        "training/gradient norm": 0.5, "training/images per second": 99, "training/GPU memory, GiB": 2,
        "seconds/train": 3, "match/ratio": 2.5, "match/raised": 1, "silhouette": 0.25,
    }  # fmt: skip
    camera = EpochRecord({"stage": "camera", "camera": 3}, 0, losses={"total": 1.0})
    assert dict(curves(camera)) == {"cam3 losses/total": 1.0}


@pytest.fixture
def images(tmp_path):
    return small_trainer(tmp_path / "small", dict.fromkeys(Modality, 8)).images


def test_a_run_that_goes_on_continues_its_curves(tmp_path, images):
    """Three epochs, killed without an end; two of them are behind the run when it goes on."""
    board = TensorBoard(images)
    board.on_begin(tmp_path, 0)
    for epoch in range(3):
        board.on_epoch(record(epoch, total=10.0 + epoch))
    again = TensorBoard(images)
    again.on_begin(tmp_path, 2)
    for epoch in (2, 3):
        again.on_epoch(record(epoch, total=20.0 + epoch))
    again.on_end()
    board.on_end()
    points = read(tmp_path).Scalars("losses/total")
    assert [(point.step, point.value) for point in points] == [(0, 10), (1, 11), (2, 22), (3, 23)]


def test_examples_are_framed_by_right_and_wrong(tmp_path, images):
    identities = images[VISIBLE].identities
    assert identities[0] == images[INFRARED].identities[1] != images[INFRARED].identities[5]
    groups = {"neighbours": [[(VISIBLE, 0), (INFRARED, 1), (INFRARED, 5)]], "matches": []}
    board = TensorBoard(images)
    board.on_begin(tmp_path, 0)
    for epoch in range(EVERY + 1):
        board.on_epoch(record(epoch, examples=groups))
    board.on_end()
    found = read(tmp_path)
    assert found.Tags()["images"] == ["neighbours"]
    shown = found.Images("neighbours")
    assert [image.step for image in shown] == [0, EVERY]
    (tmp_path / "sheet.png").write_bytes(shown[0].encoded_image_string)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    width = 16 + 2 * FRAME
    assert sheet.shape == (32 + 2 * FRAME, 3 * width, 3)
    assert [tuple(sheet[0, place * width]) for place in (1, 2)] == [RIGHT, WRONG]
    inner = sheet[FRAME:-FRAME, FRAME : width - FRAME]
    assert np.array_equal(inner, images[VISIBLE].store.images[0].numpy().transpose(1, 2, 0))
