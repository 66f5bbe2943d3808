"""otapack: build a package from a release file, look into one, verify one."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from ota.errors import OtaError
from packager.commands import (
    Command,
    bootscript,
    build,
    catalogue,
    diff,
    estimate,
    inspect,
    lint,
    matrix,
    publish,
    report,
    verify,
)

COMMANDS: Final[Mapping[str, Command]] = {
    "build": build,
    "matrix": matrix,
    "estimate": estimate,
    "inspect": inspect,
    "verify": verify,
    "lint": lint,
    "report": report,
    "bootscript": bootscript,
    "diff": diff,
    "publish": publish,
    "catalogue": catalogue,
}
"""A verb, and the module that does it."""

_log = logging.getLogger("otapack")


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
        answer = COMMANDS[options.verb].run(options)
    except OtaError as error:
        if options.json:
            print(json.dumps({"error": error.to_json()}))
        _log.error("%s", error)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    refusal = {"error": answer.error.to_json()} if answer.error else {}
    print(json.dumps({**answer.json, **refusal}) if options.json else "\n".join(answer.lines))
    if answer.error is None:
        return 0
    _log.error("%s", answer.error)
    return answer.error.exit_status


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("-q", "--quiet", action="store_true", help="log only warnings and errors")
    parser = argparse.ArgumentParser(prog="otapack", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, command in COMMANDS.items():
        command.arguments(
            verbs.add_parser(verb, parents=[common], help=command.HELP, description=command.HELP)
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
