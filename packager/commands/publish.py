"""otapack publish."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ota.interfaces import Event, Progress
from packager import publish, store
from packager.commands import Answer

HELP: Final = "Bring a build to where devices fetch it: a folder or a bucket. A cut upload goes on."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="that otapack build wrote")
    parser.add_argument("target", metavar="TARGET", help="a folder, or s3://BUCKET/PREFIX")
    parser.add_argument("--catalogue", metavar="TARGET", help="record the release there, at the end")
    parser.add_argument("--overwrite", action="store_true", help="replace other files of the same names")
    parser.add_argument(
        "--verify",
        choices=["sums", "read"],
        default="sums",
        help="prove what arrived by the sums that the store keeps (default), or read everything back",
    )
    parser.add_argument(
        "--abandon", action="store_true", help="only throw away what uploads of DIR left that did not end"
    )


def run(options: argparse.Namespace) -> Answer:
    place = store.open(options.target)
    if options.abandon:
        count = publish.abandon(options.folder, place)
        return Answer({"target": place.target, "abandoned": count}, [f"abandoned {count} uploads"])
    with _bar(options.quiet) as progress:
        publication = publish.publish(
            options.folder,
            place,
            store.open(options.catalogue) if options.catalogue else None,
            overwrite=options.overwrite,
            by_reading=options.verify == "read",
            progress=progress,
        )
    return Answer(publication.to_json(), publication.lines())


@contextmanager
def _bar(quiet: bool) -> Iterator[Progress]:
    """A bar with rate and time left, where stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda event: None
        return
    from packager.bar import bar

    with bar() as shown:
        task = shown.add_task("send", total=None)

        def tell(event: Event) -> None:
            shown.update(task, description=event.phase, completed=event.done, total=event.total)

        told_by_the_bar = logging.getLogger(publish.__name__)
        told_by_the_bar.setLevel(logging.WARNING)  # lines would break it
        try:
            yield tell
        finally:
            told_by_the_bar.setLevel(logging.NOTSET)
