"""otapack build."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from packager import build, full, keys, release, reporting
from packager.commands import Answer

HELP: Final = "Build a release: the package, what is to be published, and a report."

MAX_TIME: Final = 253402300799  # 9999-12-31T23:59:59Z, the last that X.509 and CMS can state


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", type=Path, metavar="RELEASE.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="made if absent")
    parser.add_argument(
        "--dev-keys", type=Path, metavar="DIR", help="sign with a key made in DIR, for a first try"
    )
    parser.add_argument("--full", action="store_true", help="no deltas: whole images in the package")
    add_changes(parser)


def add_changes(parser: argparse.ArgumentParser) -> None:
    """The option of all that read a release file."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="in place of what the release file says, e.g. image.rootfs.file=v2.img; may be given again",
    )


def run(options: argparse.Namespace) -> Answer:
    wanted = release.read(options.release, options.set)
    signer = keys.choose(wanted.signer, options.dev_keys, options.release)
    if options.full:
        wanted = full.without_deltas(wanted)
    built = build.build(wanted, signer, options.output, time=signing_time(os.environ))
    report = json.loads((options.output / reporting.REPORT).read_text())
    return Answer(report, [*built.contents.lines(), *built.costs.lines()])


def signing_time(environment: Mapping[str, str]) -> int:
    """SOURCE_DATE_EPOCH (reproducible-builds.org), or the time of day where it is not set."""
    text = environment.get("SOURCE_DATE_EPOCH")
    if text is None:
        return int(time.time())
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_TIME):
        raise ConfigError(
            "config-value",
            "SOURCE_DATE_EPOCH is wrong",
            expected=f"seconds since 1970, at most {MAX_TIME}",
            found=repr(text),
        )
    return int(text)
