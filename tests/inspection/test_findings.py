from pathlib import Path

from logged import epochs_of, write_run

from tokenmatcher.contracts import UNKNOWN, ImageRecord, Modality
from tokenmatcher.datasets import find_dataset
from tokenmatcher.inspection.findings import counted, findings
from tokenmatcher.inspection.folder import read_runs
from tokenmatcher.presets import preset

VISIBLE, INFRARED = Modality


def read(folder, lines=None, **more):
    return read_runs([write_run(folder, lines, **more)])[0]


def titles(found, kind="warning"):
    return [one.title for one in found if one.kind == kind]


def test_the_papers_recipe_finished_on_the_whole_set_warns_of_nothing(tmp_path):
    recipe = preset("sysu", "paper").override({"epochs": (2, 2)})
    run = read(tmp_path / "run", recipe=recipe, said="TokenMatcher 0.2.0\n")
    whole = {
        m: [ImageRecord(Path(f"{n}"), m, 1, n % 395) for n in range(22_258 if m is VISIBLE else 11_909)]
        for m in Modality
    }
    dataset = find_dataset("sysu")
    found = findings(run, dataset, counted(dataset, whole))
    assert titles(found) == ["The recipe differs from the paper's"]
    (recipe_differs,) = [one for one in found if one.kind == "warning"]
    assert recipe_differs.lines == ("epochs (2, 2) instead of (50, 50)",)


def test_counts_that_differ_and_lost_validation_people(tmp_path):
    run, dataset = read(tmp_path / "run", recipe=preset("sysu", "demo")), find_dataset("sysu")
    some = {m: [ImageRecord(Path(f"{n}"), m, 1 + n % 2, n % 296) for n in range(600)] for m in Modality}
    counts = counted(dataset, some)
    assert [(one.identities, one.images, one.by_camera) for one in counts] == [(296, 600, {1: 300, 2: 300})] * 2
    (found,) = [one for one in findings(run, dataset, counts) if "not the whole" in one.title]
    assert found.lines[0] == "visible: 296 people of 395, 600 images of 22,258"
    assert "val_id.txt" in found.lines[-1]


def test_nobody_is_known(tmp_path):
    records = {m: [ImageRecord(Path("x"), m, 1, UNKNOWN)] for m in Modality}
    assert counted(find_dataset("sysu"), records)[0].identities == 0


def test_an_unfinished_run(tmp_path):
    lines = [line for line in epochs_of() if line["stage"] == "1"][:1]
    run = read(tmp_path / "run", lines, recipe=preset("sysu", "demo"))
    (found,) = [one for one in findings(run, find_dataset("sysu"), None) if "not finished" in one.title]
    assert found.lines == ("not begun: stage camera, 2", "stage 1: 1 of 3 epochs")


def test_notes_that_differ_in_numbers_alone_are_one_line(tmp_path):
    run = read(tmp_path / "run", recipe=preset("sysu", "demo"))
    (found,) = [one for one in findings(run, find_dataset("sysu"), None) if one.title == "Noted in epochs"]
    (line,) = found.lines
    assert line == (
        "visible: 9 clusters for 16 places in a batch: some come twice (2 epochs, stage 1 epoch 0 to stage 1 epoch 1)"
    )


def test_what_the_run_said_and_most_images_as_outliers(tmp_path):
    said = (
        "TokenMatcher 0.2.0\nvisible  8 (395)  1,000 (22258)  cam1:9\nnote: this is not the whole set\nnote: odd\n"
        "warning: bad\n\n"
    )
    lines = epochs_of()
    lines[-1]["labels"]["visible"]["outliers"] = 501
    found = findings(
        read(tmp_path / "run", lines, recipe=preset("sysu", "demo"), said=said), find_dataset("sysu"), None
    )
    by_title = {one.title: one for one in found}
    assert by_title["Most images are left out of training"].lines == (
        "visible: 501 of 1,000 images are outliers in the last epoch",
    )
    assert any(one.kind == "warning" and one.lines == ("bad",) for one in found)
    assert any(one.kind == "note" and one.lines == ("odd",) for one in found)
    assert any("not the whole" in one.title for one in found)
    kinds = [one.kind for one in found]
    assert kinds == sorted(kinds, reverse=True), "warnings first"


def test_without_its_data_set_what_the_log_says_is_left(tmp_path):
    run = read(tmp_path / "run", run={"dataset": "own"})
    assert {one.title for one in findings(run, None, None)} >= {"Noted in epochs"}


def test_without_its_method_the_rest_is_told(tmp_path):
    found = findings(read(tmp_path / "run", run={"method": "/gone/own.py"}), find_dataset("sysu"), None)
    assert found[0].title.startswith("The run's method is not there") and "config.json" in found[0].lines[0]
    assert "Noted in epochs" in titles(found, "note")
