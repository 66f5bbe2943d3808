"""Where to ask for a file: its URL, a fresh one, the one behind a redirect, a mirror; and when to give up."""

from __future__ import annotations

import logging
import subprocess
import time
from collections import deque

from ota.errors import NetworkError
from ota.io.network import BrokenError, ExpiredError, Network

_log = logging.getLogger(__name__)


class Locator:
    """One file's places.

    Args:
        url: where the file was published.

    Attributes:
        published: that, or the mirror's URL once a mirror is asked.
    """

    def __init__(self, url: str, network: Network) -> None:
        self.published = url
        name = url.partition("?")[0].rpartition("/")[2]
        self._mirrors = deque(f"{folder.rstrip('/')}/{name}" for folder in network.mirrors)
        self._network = network
        self._fresh: str | None = None
        self._redirected: str | None = None
        self._anything = False  # ever came
        self._gained = False  # since the last failure
        self._failures = 0  # in a row without a byte gained
        self._renewed = False  # since a byte was gained

    def url(self) -> str:
        """The one to ask now.

        Raises:
            NetworkError: "url-refresh".
        """
        if self._redirected is None and self._fresh is None:
            self._fresh = _refreshed(self._network, self.published)
        return self._redirected or self._fresh or self.published

    def redirected(self, location: str) -> None:
        """Answers come from here; it need not be asked for again each time."""
        self._redirected = location

    def gained(self) -> None:
        """Wanted bytes came."""
        self._anything = self._gained = True
        self._failures, self._renewed = 0, False

    def failed(self, error: Exception, asked: str) -> bool:
        """What was asked of a URL failed: wait, renew the URL, or turn to a mirror.

        Returns:
            Whether it is a mirror's turn.

        Raises:
            NetworkError: there is nothing left to try.
        """
        if asked != self.url():
            return False  # it was under way when the last failure changed where to ask
        if isinstance(error, ExpiredError):
            if self._may_renew():
                self._renewed, self._redirected, self._fresh = True, None, None
                return False
            error = error.error
        if isinstance(error, BrokenError):
            self._redirected = None
            self._failures += not self._gained
            if self._failures <= self._network.retries:
                backoff_s = 0.0 if self._gained else self._network.backoff_s * 2 ** (self._failures - 1)
                self._gained = False
                time.sleep(max(error.wait_s, backoff_s))
                return False
            error = NetworkError(
                "transfer" if self._anything else "connect",
                f"{self.published}: {error}",
                found=f"{self._failures} failures",
            )
        if not self._mirrors:
            raise error
        _log.warning("%s; going on with %s", error, self._mirrors[0])
        self.published = self._mirrors.popleft()
        self._fresh = self._redirected = None
        self._failures, self._renewed = 0, False
        return True

    def _may_renew(self) -> bool:
        return not self._renewed and bool(self._redirected or self._network.refresh)


def _refreshed(network: Network, url: str) -> str:
    """What the hook turns a published URL into; without one, the URL itself."""
    if not network.refresh:
        return url
    command = [*network.refresh, url]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=network.timeout_s, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NetworkError("url-refresh", f"{url}: {network.refresh[0]} failed", found=error) from error
    fresh = done.stdout.strip()
    if not fresh.startswith(("http://", "https://")):
        raise NetworkError("url-refresh", url, expected="a URL on stdout", found=repr(fresh[:100]))
    return fresh
