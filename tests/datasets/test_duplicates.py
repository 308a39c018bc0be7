import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trees import write_image
from tokenmatcher.datasets.duplicates import same_content
from tokenmatcher.datasets.table import Table
from tokenmatcher.errors import UserError


def obvious(contents):
    """Every pair compared."""
    groups = []
    for index, content in enumerate(contents):
        for group in groups:
            if contents[group[0]] == content:
                group.append(index)
                break
        else:
            groups.append([index])
    return [group for group in groups if len(group) > 1]


@settings(max_examples=50, deadline=None)
@given(contents=st.lists(st.binary(max_size=3), max_size=12))
def test_as_the_obvious_loop(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{index}.jpg" for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert same_content(paths, progress=False) == obvious(contents)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: cannot be read"):
        same_content([tmp_path / "gone.jpg"])


ROWS = ("day/a.jpg,1,visible,anna,train", "day/b.jpg,2,visible,anna,train", "night/c.jpg,3,infrared,anna,query")


def table(folder, rows=ROWS):
    (folder / "own.csv").write_text("\n".join(["path,camera,modality,identity,split", *rows]))
    return Table(folder / "own.csv")


@pytest.fixture
def folder(tmp_path):
    for seed, row in enumerate(ROWS):
        write_image(tmp_path / row.partition(",")[0], seed)
    return tmp_path


def said_of_copies(data):
    return [line for line in data.oddities(progress=False) if "copies of" in line]


def test_a_table_says_what_its_copies_mean(folder):
    assert said_of_copies(table(folder)) == []
    shutil.copy(folder / "day/a.jpg", folder / "day/b.jpg")
    line = "copies of other images: 1, such as day/b.jpg of day/a.jpg"
    assert said_of_copies(table(folder)) == [line]
    assert line in table(folder).prepare(folder).table()
    shutil.copy(folder / "day/a.jpg", folder / "night/c.jpg")
    both = "copies of other images: 2, such as day/b.jpg of day/a.jpg; both trained on and tested with: 1"
    assert said_of_copies(table(folder)) == [both]
    another = (ROWS[0], ROWS[1].replace("anna", "bob"), ROWS[2])
    assert said_of_copies(table(folder, another)) == [f"{both}; under two identities: 1"]
