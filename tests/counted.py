"""What a function does, counted: the same on every machine, as no stopwatch says it."""

import sys


def calls(function):
    """How many functions are called meanwhile, Python's own and others."""
    number = 0

    def count(_frame, event, _argument):
        nonlocal number
        number += event in ("call", "c_call")

    former = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(former)
    return number
