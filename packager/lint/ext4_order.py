"""ext4: the same files in another order."""

from __future__ import annotations

from collections.abc import Iterator

from packager.lint.findings import Finding
from packager.lint.order import kept, moved
from packager.lint.pair import Found, Pair


def order(pair: Pair) -> Iterator[Found]:
    """The order of files in the image."""
    if pair.old is None or not (files := moved(pair.new, pair.old)):
        return
    mend = "tar --sort=name ... and mke2fs -d TAR"
    finding = Finding("ext4-file-order", f"{files} stand in another order", mend)
    remake, wanted = pair.remake, kept(pair.new, pair.old)
    yield Found(
        finding, price=(lambda base, mended: remake.now - remake.update(order=wanted)) if remake else None
    )
