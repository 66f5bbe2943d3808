"""otapack verify."""

from __future__ import annotations

import argparse
import hashlib
import logging
from pathlib import Path
from typing import Final

from ota.errors import ConfigError
from ota.trust.signature import Trust
from packager import check, inputs
from packager.commands import Answer, inspect
from packager.interfaces import BaseFile, Companions

HELP: Final = "Check that a package is whole, signed, and installable here and by stock SWUpdate."

_log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", type=Path, metavar="PACKAGE")
    for flag, help_ in (
        ("--certificate", "trusted certificates, PEM; may be given again"),
        ("--public-key", "a trusted public key, PEM; may be given again"),
        ("--base", "an earlier image: apply rdiff deltas to it; may be given again"),
    ):
        parser.add_argument(flag, type=Path, action="append", default=[], metavar="FILE", help=help_)
    inspect.add_key(parser)
    parser.add_argument("--publish", type=Path, metavar="DIR", help="check the published files in DIR too")


def run(options: argparse.Namespace) -> Answer:
    trust = Trust(tuple(options.certificate), tuple(options.public_key))
    if not (trust.certificates or trust.public_keys):
        raise ConfigError(
            "config-value",
            "whose signature is to be accepted?",
            expected="--certificate FILE or --public-key FILE",
            hint="otapack inspect looks into a package whoever signed it",
        )
    bases = tuple(map(_base, options.base))
    contents = check.verify(options.package, trust, Companions(options.publish, bases, inspect.key(options)))
    _log.info("%s is whole, signed by a trusted key, and can be installed", options.package)
    return Answer(contents.to_json(), contents.lines())


def _base(path: Path) -> BaseFile:
    with inputs.existing(path, "--base").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BaseFile(path, path.stat().st_size, digest)
