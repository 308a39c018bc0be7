"""The README's "Your own cameras", as a user does it: the pictures, the file, the commands."""

import csv
import json
import re
import shlex

import pytest
from runs import CAMERA, SMALL, entries
from scripts import ROOT, call

pytestmark = pytest.mark.slow
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def own(sysu, tmp_path_factory):
    """Rendered people as somebody's own: a table beside links to their pictures."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pictures").symlink_to(sysu, target_is_directory=True)
    test_ids = {int(number) for number in (sysu / "exp/test_id.txt").read_text().split(",")}
    rows = []
    for path in sorted(sysu.glob("cam[1-6]/????/????.jpg")):
        camera, identity = path.parts[-3], path.parts[-2]
        modality = "infrared" if camera in ("cam3", "cam6") else "visible"
        split = ("query" if modality == "infrared" else "gallery") if int(identity) in test_ids else ""
        rows.append((f"pictures/{path.relative_to(sysu)}", camera, modality, f"person {identity}", split))
    for name, cells in (("own", 5), ("nobody", 3)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            file.write("# same place: cam2+cam3\n" if cells == 5 else "")
            table = csv.writer(file)
            table.writerow(("path", "camera", "modality", "identity", "split")[:cells])
            table.writerows(row[:cells] for row in rows if cells == 5 or not row[4])
    return folder


def test_what_the_readme_says_runs(own, tmp_path):
    """Its commands, with a small network in place of ViT-B/16."""
    section = README.split("## Your own cameras")[1].split("\n## ")[0]
    commands = re.findall(r"^tokenmatcher .*$", section, re.M)
    assert [command.split()[1] for command in commands] == ["prepare", "train", "test"]
    small = {"train": [*SMALL, *CAMERA], "prepare": [], "test": ["--no-progress"]}
    for command in commands:
        _, name, table, *flags = shlex.split(command.split("#")[0])
        words = [flag.replace("logs/own", str(tmp_path / "logs")) for flag in flags]
        more = ["--logs-dir", tmp_path / "logs"] if name == "train" else []
        done = call("-m", "tokenmatcher", name, own / table, *words, *small[name], *more)
    lines = entries(tmp_path / "logs")
    assert {line["stage"] for line in lines} == {"1", "camera", "2"}
    assert "infrared-to-visible" in done.stdout


def test_scores_have_the_usual_keys_and_rules(own, tmp_path):
    start = ROOT / "pretrained/demo_vit.pth"
    train = ["-m", "tokenmatcher", "train", own / "own.csv", "--preset", "demo", "--device", "cpu", "--no-progress"]
    logs = tmp_path / "logs"
    call(*train, "--logs-dir", logs, "--pretrained-path", start, "--epochs", 1, "--iters", 1, "--stages", "1",
         "--batch-size", 16, "--k1", 6, "--k2", 2, "--min-samples", 2, "--eps", 0.6)  # fmt: skip
    found = {}
    for name, flags in (("file", []), ("plain", ["--cmc", "plain"]), ("everywhere", ["--same-place", ""])):
        out = tmp_path / f"{name}.json"
        call("-m", "tokenmatcher", "test", own / "own.csv", "--resume", logs / "stage1/last.pt", "--json", out, *flags)
        content = json.loads(out.read_text())
        assert set(content["own"]) == {"infrared-to-visible"}
        found[name] = content["own"]["infrared-to-visible"]
        assert {"rank1", "rank5", "rank10", "rank20", "mAP", "mINP", "trials"} == set(found[name])
    assert found["plain"]["mAP"] == found["file"]["mAP"] and found["plain"]["rank5"] <= found["file"]["rank5"]
    assert found["everywhere"]["mAP"] != found["file"]["mAP"]
    header = (logs / "log.txt").read_text()
    assert "k1 6" in header and "num_instances 4" in header
    assert entries(logs)[-1]["scores"]["infrared-to-visible"]["mAP"] == pytest.approx(found["file"]["mAP"], abs=1e-6)


def test_without_identities_it_trains_and_says_so(own, tmp_path):
    train = ["-m", "tokenmatcher", "train", own / "nobody.csv", "--logs-dir", tmp_path, *SMALL, "--stages", "1"]
    said = call(*train).stdout
    assert "note: no identities" in said and "nothing will be tested" in said
    line = entries(tmp_path)[-1]
    assert line["labels"]["visible"]["ari"] is None and "scores" not in line
    done = call("-m", "tokenmatcher", "test", own / "nobody.csv", "--resume", tmp_path / "stage1/last.pt", check=False)
    assert done.returncode == 2 and "no queries of one modality" in done.stderr
    train[train.index("--stages") :] = ["--stage2-start", "best"]
    train[train.index("--logs-dir") + 1] = tmp_path / "best"
    done = call(*train, check=False)
    assert done.returncode == 2
    assert "--stage2-start best: there is no test data, by which an epoch could be the best" in done.stderr
    assert not list(tmp_path.glob("best/*"))
