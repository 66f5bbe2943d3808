"""otapack estimate."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from ota.settings import Complaint, parse_size
from packager import build as building
from packager import estimate, keys, price, release
from packager.commands import Answer, build

HELP: Final = "Say what a release costs devices, for each base and method; fail where that is too much."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", type=Path, metavar="RELEASE.toml")
    parser.add_argument(
        "--built", type=Path, metavar="DIR", help="what a build left there; default: build it, and forget it"
    )
    parser.add_argument("--link", metavar="RATE,ROUNDTRIP", help="also how long it takes: 10Mbit,100ms")
    parser.add_argument(
        "--max-bytes", metavar="N", help="fail where devices with any base download more: 20M"
    )
    parser.add_argument("--dev-keys", type=Path, metavar="DIR", help="as otapack build, without --built")
    build.add_changes(parser)


def run(options: argparse.Namespace) -> Answer:
    wanted = release.read(options.release, options.set)
    link = price.parse_link(options.link) if options.link else None
    if options.max_bytes:
        limit = parse_size(options.max_bytes, Complaint("--max-bytes"))
        wanted = replace(wanted, limits=replace(wanted.limits, max_bytes=limit))
    time = build.signing_time(os.environ)
    if options.built:
        costs = estimate.of_built(wanted, options.built, time=time)
    else:
        signer = keys.development(options.dev_keys) if options.dev_keys else wanted.signer
        if signer is None:
            raise ConfigError(
                "release-content",
                f"nobody signs {options.release}, and the signature counts",
                expected="[sign] with certificate and key",
                hint="--dev-keys DIR makes a key; --built DIR needs none",
            )
        with tempfile.TemporaryDirectory(prefix="otapack-") as folder:
            costs = building.price(wanted, signer, Path(folder), time=time)
    return Answer(costs.to_json(link), costs.lines(link), costs.refusal(wanted.limits))
