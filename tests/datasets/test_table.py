"""Your own cameras: a CSV that is right is read, whatever it looks like; one that is wrong ends in one line."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trees import write_image
from tokenmatcher.commands.test import main
from tokenmatcher.contracts import UNKNOWN, Modality
from tokenmatcher.datasets import find_dataset
from tokenmatcher.datasets.table import Table, read_table
from tokenmatcher.errors import UserError
from tokenmatcher.presets import preset
from tokenmatcher.sizing import neighbours, sized

VISIBLE, INFRARED = Modality.VISIBLE, Modality.INFRARED
ROWS = [
    ("day/a 1.jpg", "gate", "visible", "anna", "train"),
    ("day/b.jpg", "gate", "Visible", "bob", ""),
    ("night/a.jpg", "10", "infrared", "anna", "train"),
    ("night/c.png", "9", "INFRARED", "", ""),
    ("night/q1.jpg", "10", "infrared", "clara, the third", "query"),
    ("night/q2.jpg", "9", "infrared", "dan", "query"),
    ("day/g1.jpg", "gate", "visible", "clara, the third", "gallery"),
    ("day/g2.jpg", "yard ü", "visible", "dan", "gallery"),
]
HEAD = "path,camera,modality,identity,split"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    for seed, (path, *_) in enumerate(ROWS):
        write_image(root / path, seed)
    return root


def quoted(cells):
    return ",".join(f'"{cell}"' if "," in cell else cell for cell in cells)


def text_of(rows=ROWS, head=HEAD, before=()):
    return "\n".join([*before, head, *map(quoted, rows)]) + "\n"


def table(folder, text, name="own.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Table(path)


def test_what_it_holds(folder):
    data = table(folder, text_of())
    assert (data.name, data.title) == ("own", "own.csv")
    assert data.rows.cameras == ("9", "10", "gate", "yard ü")  # numbers by size, before words
    assert data.rows.identities == ("anna", "bob", "clara, the third", "dan")
    training = data.training(folder)
    assert [(r.path.name, r.camera, r.identity) for r in training[VISIBLE]] == [("a 1.jpg", 3, 1), ("b.jpg", 3, 2)]
    assert [(r.path.name, r.camera, r.identity) for r in training[INFRARED]] == [("a.jpg", 2, 1), ("c.png", 1, UNKNOWN)]
    assert data.cameras == {VISIBLE: (3, 4), INFRARED: (1, 2)} and data.many_cameras
    (protocol,) = data.benchmark(folder).protocols
    assert protocol.name == "infrared-to-visible" and protocol.distinct_identities and not protocol.excluded_cameras
    found = data.benchmark(folder)
    (trial,) = protocol.trials
    assert [found.images[row].path.name for row in trial.query] == ["q1.jpg", "q2.jpg"]
    assert [found.images[row].path.name for row in trial.gallery] == ["g1.jpg", "g2.jpg"]
    assert isinstance(find_dataset(str(folder / "own.csv")), Table)


def test_a_test_that_nobody_can_pass_is_told(folder):
    """No query's person is in the gallery, or the query may not see him there."""
    data = table(folder, text_of())
    assert not data.prepare(folder).notes
    assert len(data.tested(folder).protocols) == 1
    message = "own.csv, infrared-to-visible: no query has an image of its person in the gallery that it may see"
    with pytest.raises(UserError, match=message):
        data.tested(folder, options={"same_place": "10+gate,9+yard ü"})
    assert data.tested(folder, options={"same_place": "10+gate"})
    nobody = table(folder, text_of([(*row[:3], "eve" if row[4] == "gallery" else row[3], row[4]) for row in ROWS]))
    assert f"no test: {message}" in nobody.prepare(folder).notes
    with pytest.raises(UserError, match=message):
        nobody.tested(folder)


def test_it_does_not_pass_for_a_real_set(folder):
    table(folder, text_of(), "sysu.csv")
    data = find_dataset(str(folder / "sysu.csv"))
    assert (data.name, data.title) == ("sysu.csv", "sysu.csv")


def test_how_it_is_tested(folder):
    before = ["# my cameras", "# Same place: gate+10, 9 + yard ü", "# CMC: plain", ""]
    data = table(folder, text_of(before=before))
    (protocol,) = data.benchmark(folder).protocols
    assert protocol.excluded_cameras == {(3, 2), (2, 3), (1, 4), (4, 1)}
    assert not protocol.distinct_identities
    (protocol,) = data.benchmark(folder, options={"same_place": "gate+9", "cmc": "distinct"}).protocols
    assert protocol.excluded_cameras == {(3, 1), (1, 3)} and protocol.distinct_identities
    for wrong in ("gate", "gate+nowhere", "gate+9+10"):
        with pytest.raises(UserError, match=r"same_place .*must be two cameras, A\+B, of 9, 10, gate"):
            data.benchmark(folder, options={"same_place": wrong})
    with pytest.raises(UserError, match=r"own\.csv, line 1: cmc must be distinct or plain, got 'odd'"):
        table(folder, text_of(before=["# cmc: odd"]))


def test_what_is_in_force_is_said(folder):
    before = ["# same place: gate+10,,,,", "# cmc: plain,,,,", '"# same place: 9 + yard ü",,,,']
    data = table(folder, text_of(before=before))  # a spreadsheet fills lines up
    rules = "tested with cmc: plain, same place: gate+10, 9 + yard ü"
    assert data.test_rules() == rules
    assert rules in data.prepare(folder).table().splitlines()
    assert data.test_rules({"same_place": "", "cmc": "distinct"}) == "tested with cmc: distinct, same place: none"
    (protocol,) = data.benchmark(folder).protocols
    assert protocol.excluded_cameras == {(3, 2), (2, 3), (1, 4), (4, 1)}
    assert table(folder, text_of(ROWS[:4])).test_rules() == ""  # there is no test


@pytest.mark.parametrize(
    "comment",
    ["same-place: gate+9", "same place : gate+9", "same_place: gate+9", "Same places: gate+9", "sameplace gate+9",
     "cmc = plain", "cmc plain", "CMC : plain"],
)  # fmt: skip
def test_a_misspelt_comment_is_refused(folder, comment):
    with pytest.raises(UserError, match=r"own\.csv, line 2: .* must begin with '(same place|cmc):'"):
        table(folder, text_of(before=["# mine", f"# {comment}"]))


def test_cmc_is_said_once(folder):
    with pytest.raises(UserError, match=r"own\.csv, line 3: a second line says what cmc is"):
        table(folder, text_of(before=["# cmc: plain", "", "# cmc: distinct"]))


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_row_is_not_taken_for_a_comment(folder, quote):
    write_image(folder / "#1/a.png", 9)
    text = text_of()
    with pytest.raises(UserError, match=r"own\.csv, line 10: begins with # like a comment, but is the row"):
        table(folder, f"{text}{quote}#1/a.png{quote},gate,visible\n")
    with pytest.raises(UserError, match=r"own\.csv, line 2: begins with # like a comment"):
        table(folder, f"camera,path,modality\n#1,{ROWS[0][0]},visible\n")
    found = table(folder, f"{text}#day/a 1.jpg,gate,visible\n#1/absent.png,gate,visible\n")  # rows put aside
    assert found.rows == table(folder, text, "plain.csv").rows


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [(ROWS, ["--same-place", "gate"], "must be two cameras"), (ROWS[:4], [], "no queries of one modality")],
)
def test_what_cannot_be_tested_is_told_before_the_model_is_read(folder, rows, flags, message):
    table(folder, text_of(rows))
    with pytest.raises(UserError, match=message):
        main(str(folder / "own.csv"), ["--resume", "absent.pt", *flags])


def test_both_directions_where_both_are_asked(folder):
    rows = [(p, c, m, i, s or "train") for p, c, m, i, s in ROWS[:4]]
    rows += [(*ROWS[4][:4], "gallery"), (*ROWS[5][:4], "query"), (*ROWS[6][:4], "query"), (*ROWS[7][:4], "gallery")]
    names = [protocol.name for protocol in table(folder, text_of(rows)).benchmark(folder).protocols]
    assert names == ["infrared-to-visible", "visible-to-infrared"]


def test_without_identities_everything_trains(folder):
    data = table(folder, text_of([row[:3] for row in ROWS], head="path,camera,modality"))
    assert not data.has_test(folder)
    training = data.training(folder)
    assert sum(map(len, training.values())) == len(ROWS)
    assert {record.identity for records in training.values() for record in records} == {UNKNOWN}
    assert "no identities: labels and matches cannot be checked, nothing is scored" in data.oddities()
    assert "no identities" in data.prepare(folder).table()
    with pytest.raises(UserError, match="no queries of one modality with a gallery of the other"):
        data.benchmark(folder)


def test_what_looks_wrong_is_said(folder):
    rows = [("day/a 1.jpg", "gate", "visible", "a", ""), ("night/a.jpg", "gate", "infrared", "a", "")]
    said = table(folder, text_of(rows)).oddities()
    assert said[0] == "both visible and infrared images by camera gate"
    assert said[1] == "no modality has several cameras, so there is no camera stage"
    rows = [*rows, ("night/c.png", "9", "infrared", "a", "")]
    (said,) = [line for line in table(folder, text_of(rows)).oddities() if "camera stage" in line]
    assert said == "visible: one camera; since infrared has several, the camera stage looks at it as well"


def test_a_file_of_one_modality_is_refused_and_one_for_tests_alone_is_told(folder):
    day = [row for row in ROWS if row[2].lower() == "visible"]
    with pytest.raises(UserError, match=r"own\.csv: no infrared image; training and tests need both modalities"):
        table(folder, text_of(day)).prepare(folder)
    said = table(folder, text_of([row for row in ROWS if row[4] in ("query", "gallery")])).prepare(folder).table()
    assert "note: no visible image to train on: the file serves tests alone" in said


def test_what_it_counts_has_no_real_set_beside_it(folder):
    said = table(folder, text_of()).prepare(folder).table()
    assert said.splitlines()[1].split() == ["found"] and "identities" in said


UNTIDY = {
    "byte-order mark": lambda text: "\ufeff" + text,
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "line ends of old": lambda text: text.replace("\n", "\r"),
    "blanks": lambda text: text.replace(",", ",  ").replace("clara,   the", "clara, the"),
    "quotes": lambda text: "\n".join(
        line if '"' in line else ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()
    ),
    "empty lines": lambda text: text.replace("\n", "\n\n,,,,\n"),
    "comments": lambda text: text.replace("\n", '\n# said "by", hand\n'),
    "no last line end": lambda text: text.rstrip("\n"),
    "capitals": lambda text: text.replace(HEAD, HEAD.upper()),
}


@pytest.mark.parametrize("name", UNTIDY)
def test_untidy_files_are_read_the_same(folder, name):
    plain = table(folder, text_of(), "plain.csv").rows
    assert table(folder, UNTIDY[name](text_of())).rows == plain


def test_columns_in_any_order(folder):
    rows = [(s, m, p, i, c) for p, c, m, i, s in ROWS]
    found = table(folder, text_of(rows, head="split,modality,path,identity,camera")).rows
    assert found == table(folder, text_of(), "plain.csv").rows


LINE = quoted(ROWS[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line with the columns path, camera, modality"),
        (HEAD + "\n", "holds no image"),
        ("path,camera\nx,y\n", "no column modality"),
        (HEAD + ",colour\n", "unknown column 'colour'"),
        (HEAD + ",split\n", "column 'split' stands there twice"),
        (text_of().replace("visible", "thermal", 1), "line 2: modality 'thermal' is neither visible nor infrared"),
        (text_of([*ROWS, ROWS[0]]), "line 10: 'day/a 1.jpg' stands there twice"),
        (text_of([*ROWS, ("./day//a 1.jpg", *ROWS[0][1:])]), "line 10: './day//a 1.jpg' stands there twice"),
        (text_of([("/etc/passwd", *ROWS[0][1:])]), "line 2: '/etc/passwd' is not a path inside"),
        (text_of([("../x.jpg", *ROWS[0][1:])]), "line 2: '../x.jpg' is not a path inside"),
        (text_of([("C:\\x.jpg", *ROWS[0][1:])]), "is not a path inside"),
        (text_of([("", *ROWS[0][1:])]), "is not a path inside"),
        (text_of([("day/absent.jpg", *ROWS[0][1:])]), r"line 2: no such image: .*absent\.jpg"),
        (text_of([("day", *ROWS[0][1:])]), "line 2: no such image"),
        (text_of([(ROWS[0][0], "", "visible", "a", "")]), "line 2: no camera"),
        (text_of([(ROWS[0][0], "x" * 300, "visible", "a", "")]), "a camera or identity of more than 200 letters"),
        (text_of([(*ROWS[0][:3], "", "query")]), "line 2: a query image without identity cannot be scored"),
        (text_of([(*ROWS[0][:4], "test")]), "line 2: split 'test' is none of train, query, gallery"),
        (f"{HEAD}\n{LINE},more,cells\n", "line 2: 7 cells under 5 columns"),
        (f'{HEAD}\n"day/a 1.jpg,gate,visible,anna,train\n', "line 2: unexpected end of data"),
        (f'{HEAD}\n"day"/a 1.jpg,gate,visible,anna,train\n', "line 2: .*expected after"),
        (f"{HEAD}\n{'x' * 200_000},gate,visible,anna,train\n", "field larger than field limit"),
        (text_of().encode("utf-16"), "is not UTF-8 text"),
        (b"\0" + text_of().encode(), "is not text"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder, text, message):
    with pytest.raises(UserError, match=rf"own\.csv.*{message}") as caught:
        table(folder, text)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


def test_a_modality_without_images(folder):
    data = table(folder, text_of([ROWS[0], ROWS[1]]))
    with pytest.raises(UserError, match=r"own\.csv: no infrared image to train on"):
        data.training(folder)
    for absent in ("absent.csv", "day"):
        with pytest.raises(UserError, match=absent):
            read_table(folder / absent)


def refusal(read, folder):
    try:
        read(folder)
    except UserError as error:
        return str(error)
    return None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_told(folder, data):
    text = bytearray(text_of(before=["# same place: gate+9"]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        way = data.draw(st.sampled_from(["flip", "cut", "insert", "swap"]))
        if way == "flip":
            text[place] ^= 1 << data.draw(st.integers(0, 7))
        elif way == "cut":
            del text[place : place + data.draw(st.integers(1, 40))]
        elif way == "insert":
            text[place:place] = data.draw(st.sampled_from([b'"', b",", b"\r\n", b"\0", b"\xff", b"#", b"\xe2\x80\xa8"]))
        else:
            text[place:] = text[place:][::-1]
        if not text:
            break
    try:
        found = table(folder, bytes(text), "damaged.csv")
    except UserError as error:
        assert "damaged.csv" in str(error) and str(error).isprintable()
    else:
        names = {str(folder / row[0]) for row in ROWS}
        assert {str(record.path) for record in found.records} <= names
        for read in (found.training, found.benchmark):
            said = refusal(read, folder)
            assert said is None or "damaged.csv" in said or "same_place" in said


MANY = """
import resource, sys, time
from pathlib import Path
from tokenmatcher.datasets.table import Table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = Table(Path(sys.argv[1]))
print(len(data.records), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_rows_take_less_than_a_kilobyte_each(tmp_path):
    """Empty files stand for pictures: a table does not open them. A million: `python -m benchmarks.table`."""
    rng, lines = random.Random(0), [HEAD]
    for number in range(100):
        (tmp_path / f"camera {number}").mkdir()
        for shot in range(50):
            (tmp_path / f"camera {number}" / f"{shot}.jpg").touch()
    written = 0
    for copy in range(20):
        for number in range(100):
            for shot in range(50):
                modality = "infrared" if number % 2 else "visible"
                path = f"camera {number}/{shot}.jpg" if copy == 0 else f"link {copy}/camera {number}/{shot}.jpg"
                lines.append(f"{path},camera {number},{modality},person {rng.randrange(9000)},")
                written += 1
        if copy:
            (tmp_path / f"link {copy}").symlink_to(tmp_path, target_is_directory=True)
    path = tmp_path / "many.csv"
    path.write_text("\n".join(lines) + "\n")
    assert written == 100_000
    done = subprocess.run([sys.executable, "-c", MANY, str(path)], capture_output=True, text=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == written
    assert megabytes < 100


SYSU = {VISIBLE: {1: 5_500, 2: 5_500, 4: 5_600, 5: 5_658}, INFRARED: {3: 6_000, 6: 5_909}}


@pytest.mark.parametrize("method", ["sdcl", "adca", "pgm"])
def test_at_sysus_size_a_methods_numbers_are_its_own(method):
    for name in ("small", "demo"):
        recipe = preset("table", name, method)
        small = sized(recipe, {VISIBLE: {1: 1_300}, INFRARED: {2: 1_300}})
        assert small.schedule.iters == (50, 50) and small.clusters.k1 == 15
    assert sized(preset("table", "small", method), SYSU) == preset("sysu", "paper", method)
    if method == "sdcl":
        assert (small.mining.k1_visible, small.mining.match_ranked) == (8, 10), "the demo's"
        half = sized(preset("table", "small", method), {VISIBLE: {1: 12_000}, INFRARED: {2: 3_000}})
        assert half.schedule.iters == (131, 66) and half.mining.k1_visible == 10


def test_numbers_follow_the_size():
    """As stated in `tokenmatcher.sizing`; at SYSU-MM01's size they are SYSU-MM01's."""
    recipe = preset("table", "small")
    paper = sized(recipe, SYSU)
    for name, value in {"k1": 30, "k2": 6, "num_instances": 16, "iters": (200, 200)}.items():
        assert value in [getattr(group, name, None) for group in (paper.clusters, paper.data, paper.schedule)], name
    assert (paper.camera.camera_k1, paper.camera.camera_iters) == (29, 47)
    tiny = sized(recipe, {VISIBLE: {1: 40}, INFRARED: {2: 30}})
    assert (tiny.clusters.k1, tiny.clusters.k2, tiny.data.num_instances) == (15, 4, 4)
    assert (tiny.camera.camera_k1, tiny.camera.camera_k2) == (8, 3)
    assert tiny.schedule.iters == (50, 50) and tiny.camera.camera_iters == 10
    demo = sized(preset("table", "demo"), {VISIBLE: {1: 3_000}, INFRARED: {2: 3_000}})
    assert demo.schedule.iters == (66, 66)
    counts = np.arange(10, 20_000, 100)
    found = [neighbours(count, fewest=8) for count in counts]
    assert found == sorted(found) and found[0] == 8 and found[-1] == 30
