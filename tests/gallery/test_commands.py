"""`tokenmatcher index` and `tokenmatcher search` as a user types them."""

import errno
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from galleries import crowd, person, save_checkpoint
from PIL import Image
from runs import refused
from scripts import Forked, call

from tokenmatcher.commands import index, search, searching, serve
from tokenmatcher.commands.searching import _table
from tokenmatcher.contracts import Modality
from tokenmatcher.errors import UserError
from tokenmatcher.gallery import stores
from tokenmatcher.gallery.records import Entry, Filter
from tokenmatcher.gallery.search import Match
from tokenmatcher.gallery.stores import open_store

pytestmark = pytest.mark.slow
INDEX = ("-m", "tokenmatcher", "index", "--device", "cpu", "--no-progress")
SEARCH = ("-m", "tokenmatcher", "search", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return crowd(tmp_path_factory.mktemp("bilder ü"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, folder, checkpoint):
    place = tmp_path_factory.mktemp("made") / "index"
    for part, modality, count in (("day", "visible", 18), ("night", "infrared", 6)):
        flags = ("--checkpoint", checkpoint, "--images", folder / part, "--modality", modality, "-o", place)
        said = call(*INDEX, *flags).stdout
        assert f"{count} new, 0 changed, 0 known, 0 gone, 0 cannot be read" in said
    return place


def test_json_has_what_the_table_shows(place, folder):
    query = sorted(folder.glob("night/*/*"))[0]
    flags = (place, query, "--modality", "infrared", "-k", 4, "--camera", "1,2")
    answer = json.loads(call(*SEARCH, *flags, "--json").stdout)
    assert answer["index"] == str(place) and answer["false_accept"] == 0.01
    (found,) = answer["queries"]
    assert found["query"] == str(query) and found["modality"] == "infrared"
    matches = found["matches"]
    assert [match["rank"] for match in matches] == [1, 2, 3, 4]
    for match in matches:
        assert set(match) == {"rank", "path", "score", "camera", "time", "modality", "same_person", "threshold"}
        assert match["camera"] in ("1", "2") and match["modality"] == "visible" and Path(match["path"]).is_file()
        assert match["time"].startswith("2026-05-0") and match["same_person"] is (match["score"] >= match["threshold"])
    table = call(*SEARCH, *flags).stdout.splitlines()
    rows = [line for line in table if re.match(r"\d+ ", line)]
    assert [row.endswith(match["path"]) for row, match in zip(rows, matches, strict=True)] == [True] * 4
    assert f"{matches[0]['score']:.3f}" in rows[0]


def test_several_queries_either_direction_and_times(place, folder):
    for part, modality, count in (("night", "infrared", 6), ("day", "visible", 18)):
        done = call(*SEARCH, place, folder / part, "--modality", modality, "-k", 100, "--json")
        queries = json.loads(done.stdout)["queries"]
        assert len(queries) == count
        assert all(len(found["matches"]) == 23 for found in queries), "all but the query itself"
    flags = ("--since", "2026-05-03", "--until", "2026-05-04 12:00", "--among", "visible", "-k", 100)
    done = call(*SEARCH, place, next(folder.glob("night/*/*")), *flags, "--json")
    matches = json.loads(done.stdout)["queries"][0]["matches"]
    assert {match["time"] for match in matches} == {"2026-05-03 00:00:00"} and len(matches) == 6


def answers(capsys, *words):
    """Paths that a search in this process finds of each query, by the query's name, and what it says beside."""
    search.main([*map(str, words), "--device", "cpu", "--json"])
    said = capsys.readouterr()
    queries = json.loads(said.out)["queries"]
    return {Path(one["query"]).name: [match["path"] for match in one["matches"]] for one in queries}, said.err


def test_all_there_are_may_be_asked_for(place, folder, capsys):
    query = next(folder.glob("night/*/*"))
    assert len(answers(capsys, place, query, "-k", 99_999_999_999)[0][query.name]) == 23


def test_a_date_alone_is_its_day(place, folder, capsys):
    query = next(folder.glob("night/*/*"))
    flags = ("--since", "2026-05-04", "--until", "2026-05-04", "-k", 9)
    assert len(answers(capsys, place, query, *flags)[0][query.name]) == 5, "those of 23:05"


def test_damaged_queries_are_passed_over(place, folder, tmp_path, capsys):
    """Among others, which a link may lead to."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/linked").symlink_to(folder / "night", target_is_directory=True)
    (tmp_path / "in/bad.png").write_text("x")
    os.mkfifo(tmp_path / "in/pipe.png")
    found, said = answers(capsys, place, tmp_path / "in", "-k", 1)
    assert len(found) == 6 and [line.split(": ")[0] for line in said.splitlines()] == ["passed over"] * 2
    with pytest.raises(UserError, match=r"bad\.png: cannot be read as an image"):
        search.main([str(place), str(tmp_path / "in/bad.png"), "--device", "cpu"])
    with pytest.raises(UserError, match="none of the 2 can be read"):
        search.main([str(place), *map(str, (tmp_path / "in").glob("*.png")), "--device", "cpu"])


def test_a_query_through_a_link_is_left_out(folder, checkpoint, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/linked").symlink_to(folder / "night", target_is_directory=True)
    place, flags = tmp_path / "index", ("--checkpoint", checkpoint, "--images", tmp_path / "in")
    index.main(list(map(str, (*flags, "--modality", "infrared", "-o", place, "--device", "cpu"))))
    capsys.readouterr()
    found, _ = answers(capsys, place, tmp_path / "in/../in/linked", "-k", 9)
    assert len(found) == 6
    for name, paths in found.items():
        assert len(paths) == 5 and name not in map(os.path.basename, paths)
    index.main(["-o", str(place), "--forget", str(tmp_path / "in"), "--no-progress"])
    assert "6 pictures below" in capsys.readouterr().out


def test_a_table_shows_names_as_they_are_and_nothing_for_the_terminal():
    entry = Entry("/a  b/\x1b[2J.png", Modality.VISIBLE, "ga\x1b[31m\nte", None, 1, 1)
    said = _table([Match(1, entry, 0.5, None)])
    assert "/a  b/\\x1b[2J.png" in said and "ga\\x1b[31m\\nte" in said and "\x1b" not in said


def test_a_page_on_a_full_disk_is_told(place, folder, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(searching, "replacing", full)
    words = (place, next(folder.glob("night/*/*")), "--html", tmp_path / "x.html", "--device", "cpu")
    with pytest.raises(UserError, match=r"html .*x\.html: cannot be written \(.*No space left"):
        search.main(list(map(str, words)))


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (index, ["--images", ""], "--images"),
        (index, ["-o", ""], "--output/-o"),
        (index, ["-o", "x", "--checkpoint", "c.pt"], "required: --images, --modality"),
        (index, ["-o", "x", "--forget", "d", "--images", "e"], "forget does not go with images"),
        (search, ["index", ""], "QUERY"),
        (search, ["", "query.jpg"], "INDEX"),
        (search, ["index", "q.jpg", "--camera", " ,"], "camera ' ,': names no camera"),
        (search, ["index", "q.jpg", "--camera", ""], "camera '': names no camera"),
        (search, ["index", "q.jpg", "--until", ""], "until ''"),
        (search, ["index", "q.jpg", "--since", "2026-05-02", "--until", "2026-05-01"], "since 2026-05-02 lies after"),
        (serve, ["index", "--host", ""], "--host"),
    ],
)
def test_flags_that_say_nothing_are_refused(command, words, said):
    with pytest.raises(UserError, match=re.escape(said)):
        command.main(words)


def test_a_page_is_written(place, folder, tmp_path):
    done = call(*SEARCH, place, next(folder.glob("night/*/*")), "-k", 3, "--html", tmp_path / "found.html")
    assert "written" in done.stdout
    assert (tmp_path / "found.html").read_text().count("data:image/jpeg") == 4


def test_a_killed_run_is_gone_on_with(folder, checkpoint, tmp_path):
    many, place = crowd(tmp_path / "many", people=400), tmp_path / "index"
    flags = ("--checkpoint", checkpoint, "--images", many, "--modality", "visible", "-o", place)
    words = list(map(str, (*INDEX, *flags)))
    run = Forked(words)
    try:
        while not (place / "pictures.lance").is_dir():
            assert not run.err.read_text() and run.guard.is_alive()
            time.sleep(0.01)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    call(*INDEX, *flags)
    said = call(*INDEX, *flags).stdout
    assert "0 new, 0 changed, 1600 known" in said and open_store(str(place)).count(Filter()) == 1600


def test_two_at_once_are_sound(folder, checkpoint, tmp_path):
    place = tmp_path / "index"
    words = list(
        map(str, (*INDEX, "--checkpoint", checkpoint, "--images", folder, "--modality", "visible", "-o", place))
    )
    both = [run.wait() for run in (Forked(words), Forked(words))]
    assert {done.returncode for done in both} <= {0, 2} and 0 in {done.returncode for done in both}
    for done in both:
        if done.returncode:
            assert "another run writes here" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert open_store(str(place)).count(Filter()) == 24


def test_prune(checkpoint, tmp_path):
    folder, place = crowd(tmp_path / "in", people=1), tmp_path / "index"
    flags = ("--checkpoint", checkpoint, "--images", folder, "--modality", "visible", "-o", place)
    call(*INDEX, *flags)
    next(folder.glob("night/*/*")).unlink()
    (folder / "broken.jpg").write_text("x")
    said = call(*INDEX, *flags).stdout
    assert "0 new, 0 changed, 3 known, 1 gone, 1 cannot be read" in said and "--prune removes them" in said
    assert re.search(r"passed over: .*broken\.jpg: cannot be read as an image", said)
    assert "1 gone and removed" in call(*INDEX, *flags, "--prune").stdout
    for path in folder.glob("*/*/*/*"):
        path.unlink()
    assert "holds no visible picture" in refused(
        *INDEX, "--checkpoint", checkpoint, "--images", folder / "day", "--modality", "visible", "-o", place, "--prune"
    )
    assert open_store(str(place)).count(Filter()) == 3, "an empty folder is a disk that is not there"


def test_bad_input_is_one_line(place, folder, checkpoint, tmp_path):
    query, other = next(folder.glob("night/*/*")), save_checkpoint(tmp_path / "other.pt", seed=1)
    (tmp_path / "bad.png").write_text("x")
    Image.new("1", (8000, 8000)).save(tmp_path / "bomb.png")
    flags = ("--images", folder, "--modality", "visible")
    for words, said in (
        ((*SEARCH, tmp_path / "absent", query), "no index there"),
        ((*SEARCH, folder, query), "no index there"),
        ((*SEARCH, place, tmp_path / "absent.jpg"), "absent.jpg: no such image"),
        ((*SEARCH, place, tmp_path / "bad.png"), "bad.png: cannot be read as an image"),
        ((*SEARCH, place, tmp_path / "bomb.png"), "more than 50,000,000 are refused"),
        ((*SEARCH, place, query, "--camera", "9"), "--camera 9: no picture of that camera"),
        ((*SEARCH, place, query, "-k", 0), "--top must be at least 1"),
        ((*SEARCH, place, query, "--modality", "thermal"), "--modality"),
        ((*SEARCH, place, query, "--since", "noon"), "--since 'noon': must be a time like"),
        ((*SEARCH, place, query, "--json", "--html", "x.html"), "not allowed with"),
        ((*SEARCH, place, query, "--html", tmp_path / "bad.png" / "x.html"), "--html"),
        ((*SEARCH, place, query, "--checkpoint", other), "made with other weights"),
        ((*SEARCH, place, query, "--false-accept", 0.3), "--false-accept 0.3: not calibrated"),
        ((*INDEX, "--forget", folder, "-o", place, "--device", "cpu"), "--forget does not go with --device"),
        ((*SEARCH, "qdrant+http://x", query), "must be qdrant+http://host:port/collection"),
        ((*INDEX, *flags, "--checkpoint", tmp_path / "absent.pt", "-o", place), "absent.pt: no such file"),
        ((*INDEX, *flags, "--checkpoint", other, "-o", place), "made with other weights"),
        ((*INDEX, *flags, "--checkpoint", checkpoint, "-o", tmp_path), "a folder with other files"),
        ((*INDEX, *flags, "--checkpoint", checkpoint, "-o", place), "are in the index as infrared"),
        ((*INDEX, *flags, "--checkpoint", checkpoint, "-o", place, "--table", "absent.csv"), "--table absent.csv"),
    ):
        assert said in refused(*words), words


@pytest.mark.parametrize(("place", "package"), [("index", "lancedb"), ("qdrant+http://h/c", "qdrant-client")])
def test_a_missing_extra_is_one_line(place, package, monkeypatch):
    monkeypatch.setattr(stores, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=rf'{re.escape(place)}: needs the package {package}: pip install "\.\[search\]"'
    ):
        open_store(place)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_page_is_served_until_told_to_end(place, host, warned):
    port = free_port()
    words = ("-m", "tokenmatcher", "serve", place, "--device", "cpu", "--host", host, "--port", port)
    run = Forked(list(map(str, words)))
    try:
        while f":{port}/ until Ctrl-C" not in run.out.read_text():
            assert "error" not in run.err.read_text().lower()
            assert run.guard.is_alive()
            time.sleep(0.05)
    finally:
        os.kill(run.pid, signal.SIGTERM)
        done = run.wait()
    assert done.returncode == 130
    assert f"http://{socket.gethostname() if warned else host}:{port}/ until" in done.stdout
    assert ("WARNING: --host 0.0.0.0: whoever reaches" in done.stderr and "no password" in done.stderr) is warned


def test_a_page_that_cannot_be_served_is_one_line(place, tmp_path):
    words_of_it = ("-m", "tokenmatcher", "serve", "--device", "cpu")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for words, said in (
            ((place, "--port", port), f"--port {port}: cannot be listened at"),
            ((place, "--port", 0), "--port must lie between 1 and 65535"),
            ((place, "--host", "no.such.name.invalid", "--port", free_port()), "cannot be listened at"),
            ((tmp_path / "absent",), "no index there"),
        ):
            assert said in refused(*words_of_it, *words)


def test_a_missing_gradio_is_one_line(monkeypatch):
    monkeypatch.setattr(stores, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="tokenmatcher serve: needs the package gradio"):
        serve.main(["index"])


def test_help():
    for module in (index, search, serve):
        assert "--checkpoint" in module.parser().format_help()


def test_a_picture_twice_is_found_twice(checkpoint, tmp_path):
    """Copies are pictures of their own; names of one file are not."""
    first = person(tmp_path / "in/cam1/ä 1.png", 1)
    (tmp_path / "in/cam2").mkdir()
    (tmp_path / "in/cam2/copy.png").write_bytes(first.read_bytes())
    (tmp_path / "in/cam2/link.png").hardlink_to(first)
    (tmp_path / "in/cam2/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    place = tmp_path / "index"
    said = call(
        *INDEX, "--checkpoint", checkpoint, "--images", tmp_path / "in", "--modality", "visible", "-o", place
    ).stdout
    assert "the same file as" in said and "2 new" in said
    done = call(*SEARCH, place, first, "--modality", "visible", "--json")
    (match,) = json.loads(done.stdout)["queries"][0]["matches"]
    assert match["path"].endswith("copy.png") and match["score"] > 0.9999
