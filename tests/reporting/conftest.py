"""A headless browser, where one is installed."""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser():
    installed = [path for path in map(shutil.which, BROWSERS) if path]
    if not installed:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)}")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=installed[0], args=list(QUIET))
        yield opened
        opened.close()
