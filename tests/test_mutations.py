"""`mutations.py` can still be applied: what it replaces and what it runs is there."""

import pytest
from mutations import ROOT, mutations

DOCUMENT = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("mutation", list(mutations()), ids=lambda mutation: mutation.name)
def test_what_is_replaced_and_what_is_run_is_there(mutation):
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert mutation.old in text
    assert mutation.also[0] in text
    assert f"\n| {mutation.mechanism} | " in DOCUMENT
    path, _, name = mutation.test.partition("::")
    assert f"def {name.split('[')[0]}" in (ROOT / path).read_text(encoding="utf-8")
