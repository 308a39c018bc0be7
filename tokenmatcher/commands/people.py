"""`tokenmatcher people`."""

from tokenmatcher.people.__main__ import main

__all__ = ["main"]
