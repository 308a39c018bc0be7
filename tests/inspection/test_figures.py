from logged import epochs_of, write_run

from tokenmatcher.inspection.figures import families, numbers
from tokenmatcher.inspection.folder import read_runs


def slowly(lines, path):
    """What a figure's line must hold."""
    found = {}
    for place, line in enumerate(lines):
        value = line
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found[place] = float(value)
    return found


def test_every_number_is_in_a_family_and_in_its_place(tmp_path):
    (run,) = read_runs([write_run(tmp_path / "run")])
    found, lines = families(run), epochs_of()
    for path, (topic, name, line) in {
        ("labels", "visible", "clusters"): ("labels", "clusters", "visible"),
        ("labels", "infrared", "ari"): ("labels", "ari", "infrared"),
        ("losses", "infrared"): ("losses", "own modality", "infrared"),
        ("losses", "total"): ("losses", "total", "total"),
        ("match", "right"): ("match", "shares", "right"),
        ("match", "ratio"): ("match", "ratio", "ratio"),
        ("neighbours", "vis-inf", "per_image"): ("neighbours", "per_image", "vis-inf"),
        ("scores", "all", "rank1"): ("scores", "rank1", "all"),
        ("seconds", "train"): ("seconds", "seconds", "train"),
        ("lr",): ("training", "lr", "lr"),
    }.items():
        assert found[topic, name].lines[line] == slowly(lines, path), path
    total = sum(len(list(numbers(line))) for line in lines)
    held = sum(len(own) for family in found.values() for own in family.lines.values())
    assert held == total > 70
    assert ("neighbours", "precision") not in found, "null was never measured"


def test_lists_of_trials_are_no_figures():
    assert list(numbers({"scores": {"all": {"rank1": 0.5, "trials": [{"rank1": 0.4}]}}, "epoch": 3})) == [
        (("scores", "all", "rank1"), 0.5)
    ]
