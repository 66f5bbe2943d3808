"""What lint finds: a cause of large updates or of differing builds, its cost, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause.

    Attributes:
        code: a stable slug, for programs.
        what: one sentence for people, with the values that were found.
        cost_bytes: what the update would be smaller without it, all other findings mended; None where that
            cannot be measured: nothing to compare with, or the image cannot be made again here.
        paths: of the files concerned, in the image, ascending; none where it is the whole file system.
        mend: the command that mends it, or the words that an existing command lacks.
    """

    code: str
    what: str
    mend: str
    cost_bytes: int | None = None
    paths: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "what": self.what,
            "cost_bytes": self.cost_bytes,
            "paths": list(self.paths),
            "mend": self.mend,
        }


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found in one image.

    Attributes:
        image: name of the file.
        against: name of the base's file.
        filesystem: as `mount -t` calls it.
        update_bytes: what a device that has the base fetches now; None without a base.
        findings: the dearest first.
    """

    image: str
    against: str | None
    filesystem: str
    update_bytes: int | None
    findings: tuple[Finding, ...]

    def to_json(self) -> Mapping[str, object]:
        return {
            "image": self.image,
            "against": self.against,
            "filesystem": self.filesystem,
            "update_bytes": self.update_bytes,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        against = (
            f" against {self.against}: an update fetches {self.update_bytes:,} bytes" if self.against else ""
        )
        yield f"{self.image} ({self.filesystem}){against}"
        for finding in self.findings:
            cost = "" if finding.cost_bytes is None else f" [{finding.cost_bytes:,} bytes]"
            yield f"{finding.code}{cost}: {finding.what}"
            yield from (f"    {path}" for path in finding.paths[:_SHOWN])
            if len(finding.paths) > _SHOWN:
                yield f"    and {len(finding.paths) - _SHOWN} more"
            yield f"    mend: {finding.mend}"
        if not self.findings:
            yield "nothing found"


_SHOWN = 5  # paths
