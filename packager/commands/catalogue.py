"""otapack catalogue."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from packager import catalogue, finished, store
from packager.catalogue import Record
from packager.commands import Answer, build
from packager.store import Store

HELP: Final = "List the releases that a catalogue knows, add one, copy all, or forget old ones."


def arguments(parser: argparse.ArgumentParser) -> None:
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
    # What all verbs take may follow the deed too; SUPPRESS, or what was said before it would be forgotten.
    place = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for flags in (("--json",), ("-q", "--quiet")):
        place.add_argument(*flags, action="store_true", help=argparse.SUPPRESS)
    place.add_argument("catalogue", metavar="CATALOGUE", help="a folder, or s3://BUCKET/PREFIX")
    listing = deeds.add_parser("list", parents=[place], help="print what it knows")
    listing.add_argument("product", metavar="PRODUCT", nargs="?", help="default: all")
    adding = deeds.add_parser("add", parents=[place], help="add the release that a build left in DIR/record")
    adding.add_argument("folder", type=Path, metavar="DIR")
    copying = deeds.add_parser("copy", parents=[place], help="make COPY equal to it: a cache")
    copying.add_argument("copy", metavar="COPY", help="a folder, or s3://BUCKET/PREFIX")
    pruning = deeds.add_parser("prune", parents=[place], help="say which releases the rules are done with")
    pruning.add_argument("product", metavar="PRODUCT")
    pruning.add_argument("--keep", type=_count, metavar="N", help="the newest N stay")
    pruning.add_argument("--max-age-days", type=_count, metavar="N", help="older ones go, but for the newest")
    pruning.add_argument("--remove", action="store_true", help="do it")


def run(options: argparse.Namespace) -> Answer:
    place = store.open(options.catalogue)
    match options.deed:
        case "list":
            return _list(place, [options.product] if options.product else catalogue.products(place))
        case "add":
            return _add(place, options.folder)
        case "copy":
            return _copy(place, store.open(options.copy))
        case _:
            return _prune(place, options)


def _list(place: Store, products: Sequence[str]) -> Answer:
    known = [record for product in products for record in catalogue.read(place, product)]
    return Answer(
        {"catalogue": place.target, "releases": [_json(record) for record in known]},
        (line for record in known for line in _lines(record)),
    )


def _add(place: Store, folder: Path) -> Answer:
    record, manifests = finished.read(folder).record()
    is_new = catalogue.add(place, record, manifests)
    said = "is in" if is_new else "was in"
    return Answer(
        {"catalogue": place.target, "release": _json(record), "added": is_new},
        [f"{record.product} {record.version} {said} {place.target}"],
    )


def _copy(place: Store, other: Store) -> Answer:
    added, removed = catalogue.copy(place, other)
    return Answer(
        {"catalogue": place.target, "copy": other.target, "added": added, "removed": removed},
        [f"{other.target} knows what {place.target} knows: {added} added, {removed} removed"],
    )


def _prune(place: Store, options: argparse.Namespace) -> Answer:
    if options.keep is None and options.max_age_days is None:
        raise ConfigError(
            "config-value", "which releases are to go?", expected="--keep N, --max-age-days N, or both"
        )
    known = catalogue.read(place, options.product)
    now = build.signing_time(os.environ)
    going = catalogue.prune(known, keep=options.keep, max_age_days=options.max_age_days, now=now)
    for record in going if options.remove else ():
        catalogue.remove(place, record)
    said = "removed" if options.remove else "would go"
    return Answer(
        {
            "catalogue": place.target,
            "removed": options.remove,
            "going": [_json(record) for record in going],
            "staying": [_json(record) for record in known if record not in going],
        },
        [f"{record.product} {record.version} {said}" for record in going] or ["nothing is to go"],
    )


def _json(record: Record) -> dict[str, object]:
    return {
        "product": record.product,
        "version": record.version,
        "boards": list(record.boards),
        "when": record.when,
        "commit": record.commit,
        "images": {
            name: {"size": image.size, "sha256": image.sha256, "manifest": image.manifest is not None}
            for name, image in record.images.items()
        },
    }


def _lines(record: Record) -> Iterator[str]:
    when = datetime.fromtimestamp(record.when, UTC)
    yield f"{record.product} {record.version}  {when:%Y-%m-%d %H:%M}  {', '.join(record.boards)}"
    for name, image in record.images.items():
        methods = ", ".join(dict.fromkeys(each.method for each in image.published)) or "no delta"
        yield f"  {image.size:>14,}  {name}  {methods}"


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
