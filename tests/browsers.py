"""A real headless browser for the tests of pages."""

import os
import shutil
from contextlib import contextmanager, suppress

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def browser_file():
    """The browser that CHROMIUM names, or that is on the PATH; None: there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium(*flags):
    """The test is skipped where there is no browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    path = browser_file()
    if path is None:
        pytest.skip(f"no browser found ({', '.join(NAMES)}; or name one with CHROMIUM=PATH)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])
        yield browser
        browser.close()


def until(act, locator, state="visible", times=20):
    """Does it again until the page shows it, as people do: a page may grow under a key, or load while one acts.

    Raises:
        playwright.sync_api.TimeoutError: it never did.
    """
    from playwright.sync_api import TimeoutError

    def once():
        act()
        locator.wait_for(state=state, timeout=30_000)

    for _ in range(times - 1):
        with suppress(TimeoutError):
            return once()
    return once()
