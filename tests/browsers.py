"""A real headless browser for the tests of pages."""

import os
import shutil
from contextlib import contextmanager

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
