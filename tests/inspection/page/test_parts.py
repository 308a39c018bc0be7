import pytest

from tokenmatcher.errors import UserError
from tokenmatcher.inspection.page.parts import write_parts
from tokenmatcher.inspection.page.section import Section


def test_all_of_them_or_none(tmp_path):
    section = Section("s", "S", {}, tables={"a": [["x"]], "scores": [["x"]]})
    (tmp_path / "scores.csv").mkdir()
    with pytest.raises(UserError, match=r"scores\.csv: is no regular file"):
        write_parts([section], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    (tmp_path / "scores.csv").rmdir()
    assert write_parts([section], tmp_path) == 2
