"""Damaged data sets end in a right result or in one clear line (`--cases 2000` for more of them)."""

import pytest
from fuzz import harness
from fuzz.damages import DAMAGES


@pytest.fixture(scope="module")
def ready():
    with harness.workshop() as folder:
        yield {dataset: harness.template(dataset, folder) for dataset in DAMAGES}, folder


@pytest.mark.parametrize("dataset", DAMAGES)
def test_damaged_trees(ready, dataset, pytestconfig):
    templates, folder = ready
    count = pytestconfig.getoption("--cases") // len(DAMAGES)
    seen = {harness.case(dataset, seed, *templates[dataset], folder)[0] for seed in range(count)}
    assert len(seen) == min(count, len(DAMAGES[dataset]))


def test_the_judge_can_say_no():
    base = {"test": {"a.jpg": (1, 2, "x")}}
    with pytest.raises(AssertionError):
        harness.judge("SAME", base, {"test": {"a.jpg": (1, 2, "y")}}, None)
    with pytest.raises(AssertionError):
        harness.judge("PIXELS", base, {"test": {"a.jpg": (1, 3, "x")}}, None)
    with pytest.raises(AssertionError):
        harness.judge("a.jpg", base, base, None)
    with pytest.raises(AssertionError):
        harness.judge("a.jpg", base, None, "error: something")
