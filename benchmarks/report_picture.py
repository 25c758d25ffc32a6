"""Draw the picture of ``docs/report.md``: ``python -m benchmarks.report_picture REPORT.html docs/images/report.png``

The top of the report in its light colours, beside the map of embeddings in its dark ones with a clip pointed at. The
report of the picture in docs is that of ``auricle demo`` on ESC-10. Needs the [e2e] and
[plots] extras, and Debian's chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

import numpy as np
from matplotlib.image import imread, imsave
from playwright.sync_api import Browser, Page, sync_playwright

WIDTH, HEIGHT, GAP = 700, 784, 14  # pixels
GREY = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_picture", description=__doc__.split("\n")[0])
    parser.add_argument("report", type=Path, metavar="REPORT.html")
    parser.add_argument("picture", type=Path, metavar="PNG")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        top = pixels(opened(browser, args.report, "light"))
        page = opened(browser, args.report, "dark")
        point_at_the_map(page)
        below = pixels(page)
        browser.close()
    gap = np.full((HEIGHT, GAP, 3), GREY, np.float32)
    imsave(args.picture, np.concatenate([top, gap, below], axis=1))


def opened(browser: Browser, report: Path, scheme: str) -> Page:
    """Open the report."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
    page.goto(report.absolute().as_uri())
    return page


def point_at_the_map(page: Page) -> None:
    """Scroll to the map, and point at the clip of those that can be played that is nearest to its centre."""
    page.locator("#map").evaluate("section => window.scrollTo(0, section.getBoundingClientRect().top + window.scrollY)")
    frame = page.locator("svg.map").bounding_box()
    centre = np.array([frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2])
    points = page.locator("svg.map path.playable")
    boxes = [points.nth(i).bounding_box() for i in range(points.count())]
    apart = [np.hypot(*(np.array([box["x"], box["y"]]) - centre)) for box in boxes]
    points.nth(int(np.argmin(apart))).hover()


def pixels(page: Page) -> np.ndarray:
    """The visible part of a page, (HEIGHT, WIDTH, 3) from 0 to 1."""
    return imread(io.BytesIO(page.screenshot()))[:, :, :3]


if __name__ == "__main__":
    main()
