"""Debian's chromium, driven by Playwright, one for a test run; and axe-core, which finds what keeps people out of a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.installing import npm_package

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = "4.14.1"
SERIOUS = ("serious", "critical")  # axe-core's words for what is worse than a nuisance


def chromium_is_here() -> bool:
    return shutil.which("chromium") is not None and shutil.which("npm") is not None


@contextmanager
def a_chromium() -> Iterator[Browser]:
    """A browser without a window. As root it can have no sandbox of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def axe() -> Path:
    """axe-core's script, installed into the cache where it is not there yet."""
    return npm_package("axe-core", AXE, "axe.min.js")


def faults(page: Page) -> list[str]:
    """What axe-core finds serious on a page, each with its place. It is run past the page's own policy, by the browser's debugger."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": axe().read_text()})
    asked = {"expression": "axe.run(document, {resultTypes: ['violations']})", "awaitPromise": True, "returnByValue": True}
    found: dict[str, Any] = session.send("Runtime.evaluate", asked)["result"]["value"]
    session.detach()
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"] if each["impact"] in SERIOUS]
