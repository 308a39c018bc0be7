import re

import pytest

from tokenmatcher.contracts import EpochRecord
from tokenmatcher.report.row import COLUMNS, WIDEST, duration, head, row

ENDS = [sum(width for _, width, _ in COLUMNS[: place + 1]) for place in range(len(COLUMNS))]


def record(epoch=11, epochs=50, **changes):
    labels = {
        "visible": {"clusters": 1438, "outliers": 12345, "ari": 0.614, "nmi": 0.7},
        "infrared": {"clusters": 395, "outliers": 801, "ari": float("nan"), "nmi": 0.7},
    }
    values = {
        "labels": labels, "facts": {"match": {"right": 0.71}}, "losses": {"visible": 1.0, "total": 4.12345},
        "images_per_second": 1234.4, "scores": {"all": {"rank1": 0.583, "mAP": 1.0}, "indoor": {"rank1": 0, "mAP": 0}},
        "left": 4000.0, "seconds": {"extract": 40, "train": 1.4},
    }  # fmt: skip
    return EpochRecord({"stage": "2"}, epoch, epochs, **{**values, **changes})


def cells(line):
    """A row cut at its columns."""
    return [line[end - width : end].strip() for end, (_, width, _) in zip(ENDS, COLUMNS, strict=True)]


def test_every_cell_stands_under_its_name():
    assert cells(row(record())) == [
        "2", "11/50", "1,438", "12,345", "0.61", "395", "801", "-", "0.71", "4.123", "58.3", "100.0", "1,234", "41s",
        "1h06m",
    ]  # fmt: skip
    above, names = head().split("\n")
    assert cells(names) == [name for name, _, _ in COLUMNS]
    for group in ("visible", "infrared", "matches", "test", "time"):
        columns = [place for place, (_, _, own) in enumerate(COLUMNS) if own == group]
        start, end = ENDS[columns[0]] - COLUMNS[columns[0]][1], ENDS[columns[-1]]
        assert group in above[start:end]


def test_what_there_is_not_is_left_blank():
    camera = EpochRecord({"stage": "camera", "camera": 3}, 0, 8, labels={"infrared": record().labels["infrared"]})
    assert cells(row(camera)) == ["cam3", "0/8", "", "", "", "395", "801", "-", "", "", "", "", "", "0s", ""]


def test_it_fits_120_columns_whatever_it_says():
    million = {"clusters": 999_999, "outliers": 12_345_678, "ari": -0.5, "nmi": 0.1}
    notes = ["word " * 60, "x" * 300]
    longest = record(
        999, 1000,
        labels={"visible": million, "infrared": million}, losses={"total": 1.23456e-12}, images_per_second=99_999.0,
        left=1e7, seconds={"train": 86_399}, notes=notes,
    )  # fmt: skip
    assert cells(row(longest).split("\n")[0])[2:4] == ["999,999", "12.35M"]
    lines = [*head().split("\n"), *row(longest).split("\n")]
    assert max(map(len, lines)) <= WIDEST
    assert ENDS[-1] <= WIDEST
    for text, (_, width, _) in zip(cells(row(longest).split("\n")[0]), COLUMNS, strict=True):
        assert len(text) < width, "a blank between any two cells"
    assert "".join(row(longest).split("\n")[1:]).count("word") == 60


def test_colour_changes_nothing_but_colour():
    noted = record(notes=["a file \033[2J of a stranger's"])
    plain, coloured = row(noted), row(noted, colour=True)
    assert "\033" not in plain and coloured != plain
    assert re.sub(r"\033\[\d+m", "", coloured) == plain


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0s"), (59.4, "59s"), (60, "1m00s"), (185, "3m05s"), (3599.6, "1h00m"), (3720, "1h02m"), (86400, "1.0d")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
