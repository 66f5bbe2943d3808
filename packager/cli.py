"""otapack: build a package from a release file, look into one, verify one."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, OtaError
from ota.trust import decryption
from ota.trust.decryption import Key
from ota.trust.signature import Trust
from packager import bootscript, build, check, inputs, keys, release
from packager.bootscript import Script
from packager.contents import Contents
from packager.interfaces import Companions

MAX_TIME: Final = 253402300799  # 9999-12-31T23:59:59Z, the last that X.509 and CMS can state

_log = logging.getLogger("otapack")


class Verb(StrEnum):
    """What otapack can do."""

    BUILD = "build"
    INSPECT = "inspect"
    VERIFY = "verify"
    BOOTSCRIPT = "bootscript"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status is 0, or that of the error's family."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if options.quiet else logging.INFO,
        format="%(levelname)s: %(message)s",
        force=True,
    )
    try:
        contents = _RUN[Verb(options.verb)](options)
    except OtaError as error:
        if options.json:
            print(json.dumps({"error": error.to_json()}))
        _log.error("%s", error)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    print(json.dumps(contents.to_json()) if options.json else "\n".join(contents.lines()))
    return 0


def run_build(options: argparse.Namespace) -> Contents:
    """Build a release."""
    wanted = release.read(options.release)
    if wanted.signer and options.dev_keys:
        raise ConfigError(
            "release-content",
            f"{options.release} has [sign], and --dev-keys is given",
            expected="one of the two",
            found="both",
        )
    signer = keys.development(options.dev_keys) if options.dev_keys else wanted.signer
    if signer is None:
        raise ConfigError(
            "release-content",
            f"nobody signs {options.release}",
            expected="[sign] with certificate and key",
            hint="for a first try: --dev-keys DIR makes a key",
        )
    return build.build(wanted, signer, options.output, time=signing_time(os.environ))


def run_inspect(options: argparse.Namespace) -> Contents:
    """Look into a package."""
    return check.inspect(options.package, Companions(key=_key(options)))


def run_verify(options: argparse.Namespace) -> Contents:
    """Verify a package."""
    trust = Trust(tuple(options.certificate), tuple(options.public_key))
    if not (trust.certificates or trust.public_keys):
        raise ConfigError(
            "config-value",
            "whose signature is to be accepted?",
            expected="--certificate FILE or --public-key FILE",
            hint="otapack inspect looks into a package whoever signed it",
        )
    bases = tuple(inputs.existing(path, "--base") for path in options.base)
    contents = check.verify(options.package, trust, Companions(options.publish, bases, _key(options)))
    _log.info("%s is whole, signed by a trusted key, and can be installed", options.package)
    return contents


def run_bootscript(options: argparse.Namespace) -> Script:
    """Write the boot loader's script."""
    return bootscript.write(options.board, Path())


def _key(options: argparse.Namespace) -> Key | None:
    return decryption.read_key(options.decrypt_key) if options.decrypt_key else None


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


_RUN: Final[Mapping[Verb, Callable[[argparse.Namespace], Contents | Script]]] = {
    Verb.BUILD: run_build,
    Verb.INSPECT: run_inspect,
    Verb.VERIFY: run_verify,
    Verb.BOOTSCRIPT: run_bootscript,
}


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("-q", "--quiet", action="store_true", help="log only warnings and errors")
    parser = argparse.ArgumentParser(prog="otapack", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: Verb, help_: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, parents=[common], help=help_, description=help_)

    of_build = verb(Verb.BUILD, "Build a release: the package, what is to be published, and a report.")
    of_build.add_argument("release", type=Path, metavar="RELEASE.toml")
    of_build.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="made if absent")
    of_build.add_argument(
        "--dev-keys", type=Path, metavar="DIR", help="sign with a key made in DIR, for a first try"
    )

    of_inspect = verb(Verb.INSPECT, "Print what is in a package, whoever signed it.")
    of_inspect.add_argument("package", type=Path, metavar="PACKAGE")

    of_verify = verb(
        Verb.VERIFY, "Check that a package is whole, signed, and installable here and by stock SWUpdate."
    )
    of_verify.add_argument("package", type=Path, metavar="PACKAGE")
    for flag, help_ in (
        ("--certificate", "trusted certificates, PEM; may be given again"),
        ("--public-key", "a trusted public key, PEM; may be given again"),
        ("--base", "an earlier image: apply rdiff deltas to it; may be given again"),
    ):
        of_verify.add_argument(flag, type=Path, action="append", default=[], metavar="FILE", help=help_)
    for of_either in (of_inspect, of_verify):
        of_either.add_argument(
            "--decrypt-key",
            type=Path,
            metavar="FILE",
            help="look into encrypted artifacts: KEY IV, as swupdate -K",
        )
    of_verify.add_argument("--publish", type=Path, metavar="DIR", help="check the published files in DIR too")

    of_bootscript = verb(Verb.BOOTSCRIPT, "Print the boot loader's script of a board.")
    of_bootscript.add_argument("board", metavar="BOARD", help="a name in boards/, or a path ending in .toml")
    return parser


if __name__ == "__main__":
    sys.exit(main())
