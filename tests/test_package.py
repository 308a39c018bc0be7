import sys

import pytest
from scripts import ROOT, call

import tokenmatcher


def test_every_name_is_there():
    for name in tokenmatcher.__all__:
        assert getattr(tokenmatcher, name) is not None
        assert name in dir(tokenmatcher)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = tokenmatcher.absent


def test_its_types_are_for_users_too():
    assert (ROOT / "tokenmatcher/py.typed").is_file()
    assert '\ntokenmatcher = ["py.typed"]\n' in (ROOT / "pyproject.toml").read_text(), "an installed one has it"


@pytest.mark.parametrize(
    "module",
    [
        "tokenmatcher",
        "tokenmatcher.people.__main__",
        "tokenmatcher.__main__",
        "tokenmatcher.datasets",
        "tokenmatcher.presets",
        "tokenmatcher.commands.prepare",
        "tokenmatcher.commands.train",
        "tokenmatcher.commands.test",
        "tokenmatcher.commands.index",
        "tokenmatcher.commands.search",
        "tokenmatcher.commands.serve",
    ],
)
def test_what_needs_no_network_does_not_wait_for_pytorch(module):
    code = f"import sys, {module}; print('torch' in sys.modules, 'timm' in sys.modules)"
    assert call("-c", code, fresh=True).stdout.split() == ["False", "False"]
    assert "torch" in sys.modules, "or the name has changed"
