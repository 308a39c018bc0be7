"""The documents' pictures of a report: parts of its page, as a browser without a network shows them.

python -m examples.report_pictures report.html --browser /usr/bin/chromium --out docs/pictures
"""

import io
from pathlib import Path

from PIL import Image

from tokenmatcher.cli import Parser, run
from tokenmatcher.files import replacing

HEALTHY = (
    "labels-clusters", "labels-ari", "match-shares", "neighbours-per-image", "neighbours-precision", "losses-neighbour",
)  # fmt: skip
RANKS = {"median": 2, "best": 1, "worst": 2}  # rows of each group
WIDTH = 1180
SHOW_CURVES = """names => {
  const grid = document.querySelector('#curves .grid');
  names.forEach((name) => grid.append(document.getElementById(`chart-curve-${name}`)));
  for (const one of [...document.querySelector('#curves').children]) if (one !== grid) one.remove();
  for (const one of [...grid.children]) if (!names.some((name) => one.id === `chart-curve-${name}`)) one.remove();
  document.querySelectorAll('.numbers').forEach((one) => one.remove());
  grid.id = 'shown';
}"""
SHOW_RANKS = """counts => {
  const list = document.getElementById('rank-rows');
  for (const [group, count] of Object.entries(counts)) {
    const seen = new Set();
    for (const row of [...list.children].filter((one) => one.dataset.group === group)) {
      if (seen.size < count && !seen.has(row.dataset.identity)) seen.add(row.dataset.identity);
      else row.remove();
    }
  }
}"""


def shown(path: Path, browser: str) -> dict[str, bytes]:
    """PNG of each part."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_context(
            offline=True, color_scheme="light", viewport={"width": WIDTH, "height": 900}
        ).new_page()
        found = {}
        for name, script, values, part in (
            ("report-curves", SHOW_CURVES, list(HEALTHY), "#shown"),
            ("report-ranks", SHOW_RANKS, RANKS, "#rank-rows"),
        ):
            tab.goto(path.absolute().as_uri())
            tab.evaluate(script, values)
            tab.evaluate("document.querySelector('header').remove()")  # it would lie over the part
            place = tab.locator(part)
            place.scroll_into_view_if_needed()
            tab.wait_for_timeout(4000)
            found[name] = place.screenshot()
        chromium.close()
    return found


def main() -> None:
    parser = Parser("Draw the documents' pictures of a report.")
    parser.add_argument("report", type=Path, help="a page with pictures")
    parser.add_argument("--browser", default="chromium", help="Chromium's file (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"), help="folder (default %(default)s)")
    given = parser.parse_args()
    for name, content in shown(given.report, given.browser).items():
        image = Image.open(io.BytesIO(content)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        with replacing(given.out / f"{name}.png") as file:
            image.save(file, format="PNG", optimize=True)
        print(f"written: {given.out / name}.png")


if __name__ == "__main__":
    run(main)
