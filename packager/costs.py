"""What a release costs each device: every candidate of every image, with the package that all download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ota.errors import ConfigError
from packager.choice import Candidate, Reason
from packager.limits import Limits
from packager.price import Link

_HEADINGS = ("image", "base", "method", "download", "share", "memory", "cpu", "server")


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one release."""

    product: str
    version: str
    package_bytes: int
    sizes: dict[str, int]  # of each image, bytes
    candidates: tuple[Candidate, ...]

    def to_json(self, link: Link | None = None) -> dict[str, object]:
        """The key `estimate` of reports."""
        return {
            "product": self.product,
            "version": self.version,
            "package_bytes": self.package_bytes,
            "rows": [self._row(candidate, link) for candidate in self.candidates],
        }

    def lines(self, link: Link | None = None) -> Iterator[str]:
        """A table for people; nothing where there is nothing to choose."""
        if not self.candidates:
            return
        headings = (*_HEADINGS, *(("time",) if link else ()), "")
        rows = [headings, *(self._words(found, link) for found in self.candidates)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        last = len(headings) - 1
        for row in rows:
            words = [
                word.ljust(width) if place < 3 or place == last else word.rjust(width)
                for place, (word, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(words).rstrip()

    def downloads(self) -> dict[str, int]:
        """Bytes for devices with each base: the package, and what is chosen for every image.

        Bases that are too old are left out: by the rules, nobody is to have them.
        """
        served = [found for found in self.candidates if found.base and found.refused is not Reason.OLD]
        bases = dict.fromkeys(found.base for found in served if found.base)
        chosen = [found for found in self.candidates if found.chosen]
        return {
            base: self.package_bytes
            + sum(found.price.fetched_bytes for found in chosen if found.base == base)
            for base in bases
        }

    def refusal(self, limits: Limits) -> ConfigError | None:
        """That the budget is exceeded: "budget-exceeded"."""
        limit = limits.max_bytes
        over = {base: size for base, size in self.downloads().items() if limit is not None and size > limit}
        if not over:
            return None
        return ConfigError(
            "budget-exceeded",
            f"{self.product} {self.version} costs devices more than [budget] allows",
            expected=f"at most {limit} bytes from each base",
            found="; ".join(self._excess(base, size, size - (limit or 0)) for base, size in over.items()),
            hint="otapack lint and otapack diff name what makes the update large",
        )

    def _excess(self, base: str, size: int, excess: int) -> str:
        """By how much, and what the bytes are for."""
        chosen = [found for found in self.candidates if found.chosen and found.base == base]
        parts = [f"{found.image} {found.price.fetched_bytes} by {found.price.method}" for found in chosen]
        return f"{size} bytes from {base}, {excess} too many: " + ", ".join(
            [*parts, f"the package {self.package_bytes}"]
        )

    def _row(self, found: Candidate, link: Link | None) -> dict[str, object]:
        price = found.price
        return {
            "image": found.image,
            "base": found.base,
            "method": price.method,
            "fetched_bytes": price.fetched_bytes,
            "requests": price.requests,
            "package_bytes": self.package_bytes,
            "download_bytes": self.package_bytes + price.fetched_bytes,
            "share": self._share(found),
            "memory_bytes": price.memory_bytes,
            "cpu": price.cpu,
            "storage_bytes": price.storage_bytes,
            "seconds": link and link.seconds(price, self.package_bytes),
            "chosen": found.chosen,
            "refused": found.refused,
        }

    def _share(self, found: Candidate) -> float:
        return round((self.package_bytes + found.price.fetched_bytes) / self.sizes[found.image], 6)

    def _words(self, found: Candidate, link: Link | None) -> tuple[str, ...]:
        price = found.price
        return (
            found.image,
            found.base or "none",
            price.method,
            f"{self.package_bytes + price.fetched_bytes:,}",
            f"{self._share(found):.2%}",
            f"{price.memory_bytes:,}",
            price.cpu,
            f"{price.storage_bytes:,}",
            *((f"{link.seconds(price, self.package_bytes):,.1f} s",) if link else ()),
            ", ".join(filter(None, ("chosen" if found.chosen else "", found.refused))),
        )
