"""A page of `tokenmatcher report` in a browser without a network."""

import re
from pathlib import Path

import pytest
from browsers import browser_file, chromium, until
from PIL import Image
from reports import SECTIONS
from scripts import ROOT, call

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


def opened(browser, path, **options):
    """A tab without a network, and what it complains of or asks for."""
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(120_000)
    tab, heard = context.new_page(), []
    tab.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith("data:") else heard.append(request.url))
    tab.goto(Path(path).as_uri())
    assert heard == [Path(path).as_uri()], "it asks for itself alone"
    heard.clear()
    return tab, heard


def wait_until(tab, expression, arg=None):
    """As Playwright's wait_for_function, which asks again by an eval that the page's policy forbids."""
    for _ in range(1200):
        if tab.evaluate(expression, arg):
            return
        tab.wait_for_timeout(100)
    raise AssertionError(f"never: {expression}")


@pytest.fixture(scope="session")
def tab(browser, page):
    """One for all tests."""
    tab, heard = opened(browser, page.path, viewport={"width": 1280, "height": 900})
    yield tab
    assert heard == []
    tab.context.close()


def test_each_section_is_drawn(tab):
    for name in SECTIONS:
        section = tab.locator(f"#{name}")
        height = section.bounding_box()["height"]
        section.scroll_into_view_if_needed()
        for chart in section.locator(".chart:visible").all():
            chart.scroll_into_view_if_needed()
            chart.locator("svg.main-svg").first.wait_for(state="attached")
        for picture in section.locator(".frame img:visible").all():
            picture.scroll_into_view_if_needed()
        assert abs(section.bounding_box()["height"] - height) < 1, "nothing moves when it is drawn"
    drawn = tab.locator(".chart[data-drawn]").count()
    assert drawn == tab.locator(".chart:visible").count() > 30
    marks = tab.locator("#curves .chart .scatterlayer .trace")
    assert marks.count() > 40
    pictures = tab.locator("#ranks .frame img, #clusters .frame img, #tokens .frame img")
    assert pictures.count() > 100
    pictures.last.scroll_into_view_if_needed()
    wait_until(tab, "[...document.querySelectorAll('#clusters .frame img')].at(-1)?.naturalWidth > 0")


def test_the_section_in_sight_is_marked(browser, page):
    tab, heard = opened(browser, page.path, viewport={"width": 1280, "height": 900})
    for key, name in (("Home", "warnings"), ("End", "making"), ("Home", "warnings")):
        marked = tab.locator(f'nav a[aria-current][href="#{name}"]')
        until(lambda key=key: tab.keyboard.press(key), marked, "attached")
        assert tab.locator("nav a[aria-current]").count() == 1
    assert heard == []
    tab.context.close()


def test_filters_filter(tab):
    rows = tab.locator("#rank-rows > li")
    assert rows.count() == 12
    for name in ("group", "verdict", "camera", "identity", "direction"):
        select = tab.locator(f"select[data-filter={name}]")
        value = select.locator("option").last.get_attribute("value") or select.locator("option").last.inner_text()
        select.select_option(value=value)
        told = [row.get_attribute(f"data-{name}") for row in rows.all()]
        expected = [one == value for one in told]
        assert [row.is_visible() for row in rows.all()] == expected
        assert tab.locator("#rank-count").inner_text() == (
            f"{sum(expected)} shown" if any(expected) else "none: no query fits all of these"
        )
        tab.locator("#rank-filters button[type=reset]").click()
        wait_until(tab, "document.getElementById('rank-count').textContent === '12 shown'")
    person = tab.locator("button[data-person]").first
    person.click()
    wait_until(tab, "document.getElementById('rank-count').textContent !== '12 shown'")
    shown = [row.get_attribute("data-identity") for row in rows.all() if row.is_visible()]
    assert set(shown) == {person.get_attribute("data-person")}
    tab.locator("#rank-filters button[type=reset]").click()


def test_some_of_each_group_come_first(browser, page, tmp_path):
    text = page.path.read_text(encoding="utf-8").replace("const SOME = 20;", "const SOME = 6;")
    (tmp_path / "few.html").write_text(text, encoding="utf-8")
    tab, heard = opened(browser, tmp_path / "few.html")
    rows, count = tab.locator("#rank-rows > li"), tab.locator("#rank-count")
    assert count.inner_text() == "6 of 12 shown"
    shown = [row.get_attribute("data-group") for row in rows.all() if row.is_visible()]
    assert shown == ["best", "best", "median", "median", "worst", "worst"]
    until(tab.locator("#rank-more").click, tab.locator("#rank-count", has_text=re.compile("^12 shown$")))
    assert not tab.locator("#rank-more").is_visible()
    assert heard == []
    tab.context.close()


def test_the_map_changes_colours_and_shows_pictures(tab):
    tab.locator("#map").scroll_into_view_if_needed()
    tab.locator("#map-colouring").select_option("cluster")
    own = tab.locator(".map-one:visible")
    assert (own.get_attribute("data-set"), own.get_attribute("data-colouring")) == ("training", "cluster")
    tab.locator("#map-set").select_option("test")
    assert own.count() == 1 and own.get_attribute("data-set") == "test", "there are no clusters of test images"
    tab.locator("#map-colouring").select_option("person")
    own.locator("svg.main-svg").first.wait_for(state="attached")
    own.focus()
    seen = set()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
        wait_until(tab, "document.querySelector('#map-picture img').naturalWidth > 0")
        seen.add(tab.locator("#map-picture p").inner_text() + tab.locator("#map-picture img").get_attribute("src"))
    assert len(seen) == 3
    assert "person" in tab.locator("#map-picture img").get_attribute("alt")
    own.locator(".point").first.hover(force=True)
    tab.keyboard.press("Escape")


def test_lines_and_numbers_are_shown_on_demand(tab):
    figure = tab.locator("#chart-curve-labels-clusters")
    figure.scroll_into_view_if_needed()
    figure.locator("svg.main-svg").first.wait_for(state="attached")
    lines = figure.locator(".scatterlayer .trace")
    before = lines.count()
    button = figure.locator(".legend button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    wait_until(
        tab,
        "before => document.querySelectorAll('#chart-curve-labels-clusters .scatterlayer .trace').length < before",
        arg=before,
    )
    button.click()
    figure.locator("summary").click()
    assert figure.locator("details td").count() > 10


def test_dark_light_and_what_is_remembered(tab, browser, page):
    def back(of):
        return of.evaluate("getComputedStyle(document.body).backgroundColor")

    chart = tab.locator("#chart-curve-labels-clusters")
    chart.scroll_into_view_if_needed()
    chart.locator(".chart[data-drawn]").wait_for()
    assert back(tab) == "rgb(244, 246, 248)"
    button = tab.locator("#theme")
    button.click()
    assert "light" in button.get_attribute("aria-label")
    button.click()
    assert back(tab) == "rgb(17, 21, 26)" and "dark" in button.get_attribute("aria-label")
    wait_until(  # charts follow
        tab,
        "getComputedStyle(document.querySelector('#chart-curve-labels-clusters text')).fill === 'rgb(159, 171, 184)'",
    )
    button.click()
    assert back(tab) == "rgb(244, 246, 248)"
    dark, heard = opened(browser, page.path, color_scheme="dark")
    assert back(dark) == "rgb(17, 21, 26)"
    assert heard == []
    dark.context.close()


def test_on_a_phone_nothing_is_wider_than_it(browser, page):
    phone, heard = opened(browser, page.path, viewport={"width": 360, "height": 740}, has_touch=True)
    for name in SECTIONS:
        phone.locator(f"#{name}").scroll_into_view_if_needed()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360, name
    phone.locator(".bar a").last.click()
    assert phone.url.endswith("#making")
    assert heard == []
    phone.context.close()


def test_the_keyboard_reaches_everything(tab):
    tab.evaluate("scrollTo(0, 0); document.activeElement?.blur()")
    tab.locator(".skip").focus()
    tab.keyboard.press("Enter")
    assert tab.url.endswith("#main")
    scrolled = tab.locator(".scroll:not([tabindex])").count()
    assert scrolled == 0, "what scrolls can be focused"
    assert tab.locator("img:not([alt])").count() == 0
    assert tab.locator(".chart:not([aria-label])").count() == 0
    empty = tab.eval_on_selector_all(".frame img", "all => all.filter((one) => !one.alt.trim()).length")
    assert empty == 0


def test_the_documents_pictures(browser, page, tmp_path):
    """Can be made again, and those that are kept are small."""
    call("-m", "examples.report_pictures", page.path, "--browser", browser_file(), "--out", tmp_path)
    for name in ("report-ranks.png", "report-curves.png"):
        with Image.open(tmp_path / name) as new, Image.open(ROOT / "docs/pictures" / name) as kept:
            assert new.width == kept.width and new.height > 300
        assert (ROOT / "docs/pictures" / name).stat().st_size < 200_000
