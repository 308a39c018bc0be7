"""What is given by file, as a user gives it; and what is wrong with such a file, in one line."""

import csv
import json
import sys

import pytest
import torch
from scripts import call
from test_end_to_end import CAMERA, SMALL, entries, refused

from tokenmatcher.cli import run
from tokenmatcher.commands import train
from tokenmatcher.datasets import find_dataset
from tokenmatcher.doors import find_listener, find_matcher, find_method
from tokenmatcher.errors import SettingError, UserError, flag

EXAMPLES = ("--method", "examples/own_method.py", "--matcher", "examples/own_matcher.py", "--listener",
            "examples/own_listener.py")  # fmt: skip


@pytest.mark.slow
def test_the_examples_train_together(sysu, tmp_path):
    command = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", tmp_path, *SMALL, *CAMERA, *EXAMPLES]
    call(*command, "--lambda-compact", 0.3, "--stages", "1,camera")
    call(*command, "--lambda-compact", 0.3, "--resume", "auto")
    lines = entries(tmp_path)
    assert 0 < lines[-1]["losses"]["compact"] < 4
    assert 0 <= lines[-1]["match"]["matched"] <= 1
    assert "compact" not in lines[0]["losses"]
    rows = list(csv.reader((tmp_path / "epochs.csv").open()))
    assert [row[:3] for row in rows[1:]] == [[e["stage"], str(e.get("camera", "")), str(e["epoch"])] for e in lines]
    saved = torch.load(tmp_path / "stage2/last.pt", weights_only=True)
    assert saved["method"] == "compact"
    assert saved["recipe"]["compact"] == {"lambda_compact": 0.3}
    call("test_sysu.py", "--resume", tmp_path / "stage2/last.pt", "--data-dir", sysu)
    # The same again from what the run left, but for one number, and by flags: flags win.
    again = ["--logs-dir", tmp_path / "again", "--no-progress", "--config", tmp_path / "config.json"]
    call("-m", "tokenmatcher", "train", "sysu", *again, "--stages", "1", "--lambda-compact", 0.1)
    config = json.loads((tmp_path / "again/config.json").read_text())
    assert config["compact"] == {"lambda_compact": 0.1}
    assert config["run"]["method"] == "examples/own_method.py"
    assert entries(tmp_path / "again") == [
        {**line, "scores": line.get("scores")} if "scores" in line else line for line in lines[:2]
    ]
    line = refused("train_sysu.py", "--data-dir", sysu, "--logs-dir", tmp_path, *SMALL, *CAMERA, "--resume", "auto")
    assert "was trained by --method compact" in line


BROKEN = {
    "raises.py": ("\n\n\ndef match(clusters):\n    return clusters.nothing\n", "raises.py, line 5: AttributeError"),
    "refuses.py": (
        "import numpy as np\nfrom tokenmatcher.contracts import ClusterMatch, Modality\n\n\ndef match(clusters):\n"
        "    return ClusterMatch({m: np.array([99]) for m in Modality})\n",
        "refuses.py, line 6: ValueError: partners of visible",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_what_goes_wrong_inside_is_told_with_file_and_line(sysu, tmp_path, name):
    text, message = BROKEN[name]
    (tmp_path / name).write_text(text)
    command = ["train_sysu.py", "--data-dir", sysu, "--logs-dir", tmp_path / "logs", *SMALL, "--stages", "1,2"]
    done = call(*command, "--matcher", tmp_path / name, check=False)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def match(clusters):\n  return (\n", r"line \d+: .*"),
        ("x = 1\n", "has no function 'match'"),
        ("def match():\n    pass\n", "line 1: 'match' must take the clusters alone"),
        ("def match(a, b):\n    pass\n", "line 1: 'match' must take the clusters alone"),
        ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError"),
        ("def f():\n    raise ValueError('inside')\n\n\nf()\n", "line 2: ValueError: inside"),
        ("import sys\n\nsys.exit(0)\n", "line 3: SystemExit: 0"),
    ],
)
def test_a_broken_matcher(tmp_path, text, message):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"own\.py.*{message}"):
        find_matcher(str(path))


METHOD = "from tokenmatcher.methods.base import Method\n"
OURS = "from tokenmatcher.methods.tokenmatcher import TokenMatcher\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "holds 0 subclasses of Method, and must hold one"),
        (METHOD + "class A(Method): pass\nclass B(Method): pass\n", "holds 2 subclasses of Method"),
        (METHOD + "class A(Method): pass\n", "A has no name of its own"),
        (OURS + "class A(TokenMatcher): pass\n", "A has no name of its own"),
        (OURS + "class A(TokenMatcher):\n    name = 'sdcl'\n", "the name sdcl is taken"),
        (METHOD + "class A(Method):\n    name, presets = 'a', {}\n", "A lacks stage_names, stages"),
    ],
)
def test_a_broken_method(tmp_path, text, message):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(SettingError, match=rf"method .*own\.py: .*{message}"):
        find_method(str(path))


def test_a_broken_listener(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from tokenmatcher.listeners import Listener\n\n\nclass A(Listener):\n    def __init__(self, x): pass\n"
    )
    with pytest.raises(UserError, match=r"own\.py, line 5: TypeError: A\.__init__\(\) missing"):
        find_listener(str(path))


LISTENER = "from tokenmatcher.listeners import Listener\n\n\nclass A(Listener):\n    "


@pytest.mark.parametrize(
    ("find", "text", "message"),
    [
        (find_listener, LISTENER + "def on_begin(self, folder): pass\n", r"5: A\.on_begin must take \(self, folder"),
        (find_listener, LISTENER + "def on_end(self, more): pass\n", r"5: A\.on_end must take \(self\)"),
        (find_listener, LISTENER + "on_step = None\n", r"A\.on_step must be a function"),
        (find_method, OURS + "class A(TokenMatcher):\n    name = 'a'\n    def objective(self, targets): pass\n",
         r"4: A\.objective must take \(self, targets, epoch\)"),
        (find_method, METHOD + "class A(Method):\n    name, presets = 'a', {}\n    def stage_names(self, d): pass\n",
         r"4: A\.stage_names must be a classmethod"),
        (find_method, METHOD + "class A(Method):\n    def __init__(self): pass\n", r"3: A\.__init__ must take"),
    ],
)  # fmt: skip
def test_a_wrong_signature(tmp_path, find, text, message):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"own\.py.*{message}"):
        find(str(path))


def test_more_than_is_asked_for_may_be_taken(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(LISTENER + "def on_begin(self, *any): pass\n    def on_end(self, more=3, *, other=4): pass\n")
    find_listener(str(path)).on_end()


INNER = """
import sys


class Inner:
    def asked(self, one):
        sys.exit(0)


def match(clusters):
    return Inner()
"""


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda inner: inner.asked(1), "line 7: SystemExit: 0"),
        (lambda inner: inner.asked(1, 2), "line 6: TypeError: Inner.asked() takes 2 positional arguments but 3"),
        (lambda inner: inner.asked(), "line 6: TypeError: Inner.asked() missing 1 required positional argument"),
    ],
)
def test_what_a_file_makes_ends_in_one_line(tmp_path, capsys, ask, message):
    """Also where it ends the program, and where its functions cannot be called."""
    path = tmp_path / "own.py"
    path.write_text(INNER)
    inner = find_matcher(str(path))(None)
    with pytest.raises(SystemExit) as stopped:
        run(lambda: ask(inner))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}, {message}")


def test_an_exit_of_our_own_stays_what_it_is():
    with pytest.raises(SystemExit) as stopped:
        run(lambda: sys.exit(0))
    assert stopped.value.code == 0


DATASET = """
from pathlib import Path
from tokenmatcher.contracts import ImageRecord, Modality
from tokenmatcher.datasets.base import Dataset
from tokenmatcher.datasets.summary import Count, Summary


class Mine(Dataset):
    name, title, presets_of = "mine", "My set", "sysu"
    cameras = {Modality.VISIBLE: (1, 2, 4, 5), Modality.INFRARED: (3, 6)}

    def prepare(self, data_dir):
        return Summary(self.title, data_dir, (Count("images", sum(map(len, self.training(data_dir).values()))),))

    def training(self, data_dir, trial=None):
        found = {m: [] for m in Modality}
        for path in sorted(data_dir.glob("cam[1-6]/000[1-8]/*.jpg")):
            camera = int(path.parts[-3][3])
            m = Modality.INFRARED if camera in (3, 6) else Modality.VISIBLE
            found[m].append(ImageRecord(path, m, camera, int(path.parts[-2])))
        return found

    def has_test(self, data_dir, trial=None):
        return False

    def benchmark(self, data_dir, trial=None, options=None):
        raise NotImplementedError
"""


@pytest.mark.slow
def test_a_data_set_in_a_file(sysu, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(DATASET)
    assert "images" in call("-m", "tokenmatcher", "prepare", path, "--data-dir", sysu).stdout
    train = ["-m", "tokenmatcher", "train", path, "--data-dir", sysu, "--store-dir", tmp_path / "store"]
    said = call(*train, "--logs-dir", tmp_path / "logs", *SMALL, "--stages", "1", "--epochs", 1).stdout
    assert "My set, stages 1" in said and "nothing will be tested" in said
    path.write_text(
        DATASET.replace("        return found", "        return {Modality.VISIBLE: found[Modality.VISIBLE]}")
    )
    assert "mine.py, line 15: " in (line := refused(*train, "--logs-dir", tmp_path / "never", *SMALL))
    assert "has no infrared image to train on" in line
    path.write_text(DATASET.replace("return Summary", "return 3 or Summary"))
    assert "mine.py, line 12: 'prepare' must return a Summary, not int" in refused(
        "-m", "tokenmatcher", "prepare", path, "--data-dir", sysu
    )
    path.write_text(DATASET.replace("has_test", "has_no_test"))
    assert "mine.py: Mine cannot be made" in refused(*train, "--logs-dir", tmp_path / "logs")
    path.write_text(DATASET.replace("return False", "return True").replace("raise NotImplementedError", "pass"))
    assert "'benchmark' must return a Benchmark, not NoneType" in refused(*train, "--logs-dir", tmp_path / "b", *SMALL)
    path.write_text(
        DATASET.replace("    cameras", "    lenses").replace(
            'name, title, presets_of = "mine", "My set"', 'name, presets_of = "mine"'
        )
    )
    assert "mine.py: Mine has no title, cameras" in refused("-m", "tokenmatcher", "prepare", path, "--data-dir", sysu)


def test_a_syntax_error_in_what_a_file_imports_is_its_own(tmp_path, monkeypatch):
    (tmp_path / "broken_helper.py").write_text("x = 1\ny = (\n")
    (tmp_path / "own.py").write_text("import broken_helper\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=r"own\.py: .*broken_helper\.py, line 2: "):
        find_matcher(str(tmp_path / "own.py"))


@pytest.mark.parametrize("find", [find_method, find_matcher, find_listener, find_dataset])
def test_what_there_is_not(find, tmp_path):
    with pytest.raises(SettingError, match=r"absent\.py: no such file") as caught:
        find(str(tmp_path / "absent.py"))
    assert ("--" in caught.value.worded(flag)) == (find is not find_dataset)  # which is no flag


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "nul.py"
    path.write_bytes(b"x = 1\0\n")
    with pytest.raises(UserError, match=r"nul\.py: .*null bytes"):
        find_matcher(str(path))


def test_unknown_names_say_what_there_is():
    with pytest.raises(SettingError, match=r"method sdlc: there is no such method; there are tokenmatcher"):
        find_method("sdlc")
    with pytest.raises(SettingError, match=r"matcher gredy: there is no such matcher; there are greedy"):
        find_matcher("gredy")
    for kind in ("method", "matcher"):
        with pytest.raises(SettingError, match=f"{kind} '': there is no such {kind}"):
            train.main("sysu", [f"--{kind}", "", "--data-dir", "nowhere"])
