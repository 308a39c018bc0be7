from tokenmatcher.inspection.axis import Band, bands, places
from tokenmatcher.inspection.folder import Epoch


def band(first, last, stage, camera, *modalities):
    return Band(first, last, (stage, camera, modalities))


def run(*stages):
    """Epochs of (stage, camera, count)."""
    return [Epoch(stage, camera, n, {}) for stage, camera, count in stages for n in range(count)]


WITH_CAMERAS = run(("1", None, 2), ("camera", 1, 1), ("camera", 3, 2), ("2", None, 2))
WITHOUT = run(("1", None, 3), ("2", None, 1))
ALL = [band(0, 2, "1", None), band(3, 3, "camera", 1), band(4, 5, "camera", 3), band(6, 7, "2", None)]


def test_stages_are_bands():
    assert bands([WITH_CAMERAS]) == [
        band(0, 1, "1", None), band(2, 2, "camera", 1), band(3, 4, "camera", 3), band(5, 6, "2", None),
    ]  # fmt: skip
    assert places(WITH_CAMERAS, bands([WITH_CAMERAS])) == list(range(7))


def test_a_stage_stands_in_one_place_for_all_runs():
    for runs in ([WITH_CAMERAS, WITHOUT], [WITHOUT, WITH_CAMERAS]):
        assert bands(runs) == ALL
    assert places(WITH_CAMERAS, ALL) == [0, 1, 3, 4, 5, 6, 7]
    assert places(WITHOUT, ALL) == [0, 1, 2, 6]


def test_stages_of_any_order():
    assert [band.stage for band in bands([run(("2", None, 1), ("1", None, 1)), WITHOUT])] == ["2", "1"]
    assert bands([[]]) == []


def test_cameras_of_one_number_in_both_modalities_are_two():
    """As in LLCM, where a modality's cameras are numbered from 1."""
    epochs = [
        Epoch("camera", 1, n, {"labels": {m: {}}})
        for m, count in (("visible", 3), ("infrared", 2))
        for n in range(count)
    ]
    axis = [band(0, 2, "camera", 1, "visible"), band(3, 4, "camera", 1, "infrared")]
    assert bands([epochs]) == axis
    assert places(epochs, axis) == [0, 1, 2, 3, 4]
