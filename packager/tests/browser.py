"""A real browser, without a screen: Chromium, led by its driver."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",  # in a container it is too small
    "--hide-scrollbars",
)


@contextmanager
def browser(tool: Callable[[str], Path], width: int = 1200, height: int = 900) -> Iterator[Chrome]:
    """A browser whose window has this size, in points; its log has all that pages complain about."""
    options = ChromeOptions()
    options.binary_location = str(tool("chromium"))
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(tool("chromedriver"))))
    try:
        resize(driver, width, height)
        yield driver
    finally:
        driver.quit()


def resize(driver: Chrome, width: int, height: int) -> None:
    """As a screen of this size shows it; a window cannot be as narrow as a phone."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def prefer(driver: Chrome, media: str, scheme: str) -> None:
    """The medium (screen or print), and whether its owner likes it light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def picture(driver: Chrome, width: int, height: int) -> bytes:
    """The page from its top, as PNG."""
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    found = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    return base64.b64decode(found["data"])
