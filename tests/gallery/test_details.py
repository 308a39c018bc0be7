from datetime import datetime

import pytest

from tokenmatcher.errors import UserError
from tokenmatcher.gallery.details import last_moment, moment, read_details
from tokenmatcher.gallery.records import seconds_of


def test_times_are_told_apart():
    assert seconds_of(datetime(1970, 1, 2)) == 86_400
    assert moment("2026-05-01") < moment("2026-05-01 00:01") < moment("2026-05-01T00:01:01Z")


def test_a_date_alone_includes_its_day():
    assert last_moment("2026-05-01") == moment("2026-05-01 23:59:59")
    assert last_moment("2026-05-01 12:30") == moment("2026-05-01 12:30")
    with pytest.raises(ValueError, match="noon"):
        last_moment("noon")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no picture"),
        ("path\n", "names no picture"),
        ("camera,time\ngate,\n", "line 1: must name each column once, path among them"),
        ("path,path\na,b\n", "line 1: must name each column once"),
        ("path\n../a.png\n", "line 2: '../a.png' is not a path inside"),
        ("path\n/etc/a.png\n", "is not a path inside"),
        ("path\na.png\na.png\n", "line 3: 'a.png' stands there twice"),
        ("path,time\na.png,yesterday\n", "line 2: time 'yesterday' is not like"),
        ("path,modality\na.png,thermal\n", "line 2: modality 'thermal' is neither"),
        (f"path,camera\na.png,{'x' * 300}\n", "line 2: a camera of more than 200 letters"),
        ('path\n"a.png\n', "line 2"),
        ("path\na\0.png\n", "is not text"),
        ("path,camera\na.png,gate,,\n", "line 2: 4 cells under 2 columns"),
    ],
)
def test_a_bad_table_is_told(tmp_path, text, said):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_details(path)
    assert str(path) in str(error.value)
