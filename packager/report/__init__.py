"""The report of a build: one HTML page from what report.json holds, for people and without a network.

Everything stands in the page itself: style, script, data. A content security policy forbids it to load or
run anything else; names of files and packages are text, whatever signs they are made of. Plots are HTML:
they take the colours of a dark screen and the width of a phone, and the same report gives the same bytes,
whatever fonts or libraries are there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
import jsonschema

from ota.errors import ConfigError
from packager.report import costs, treemap

_HERE: Final = Path(__file__).parent
_PAGE: Final = _HERE / "page"
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def render(report: Mapping[str, Any]) -> str:
    """The page of a report.

    Args:
        report: what report.json holds; schema.json says what that may be. Of what it lacks, the page says so.

    Raises:
        ConfigError: "report-format".
    """
    _check(report)
    script = (_PAGE / "report.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template("report.html")
    text = page.render(
        report=report,
        plots=costs.plots(report["estimate"]["rows"]) if "estimate" in report else (),
        trees={
            image: treemap.prune(diff["tree"])
            for image, diff in report.get("diff", {}).items()
            if "tree" in diff
        },
        style=(_PAGE / "report.css").read_text(),
        script=script,
        script_sha256=digest,
    )
    # A file's name may have bytes that are no text; they come as surrogates, which have no place in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def read(path: Path) -> Mapping[str, Any]:
    """What a report.json holds.

    Raises:
        ConfigError: "file-missing", "report-format".
    """
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError("file-missing", f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("report-format", f"{path} is not JSON: {error}") from error
    _check(report)
    assert isinstance(report, dict), report  # the schema says so
    return report


def _check(report: object) -> None:
    try:
        jsonschema.validate(report, json.loads((_HERE / "schema.json").read_text()))
    except jsonschema.ValidationError as error:
        where = "/".join(map(str, error.absolute_path)) or "the whole"
        raise ConfigError(
            "report-format", f"report.json is not as it must be: {where}", found=error.message[:200]
        ) from error


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "count": "{:,}".format, "date": _date, "share": _share}
    return environment


def size(count: int) -> str:
    """Bytes for people, with three digits: 10.5 MB."""
    number, unit = float(count), 0
    while number >= 999.5 and unit + 1 < len(_UNITS):
        number, unit = number / 1000, unit + 1
    return f"{number:.{0 if unit == 0 or number >= 99.95 else 1}f} {_UNITS[unit]}"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _share(number: float) -> str:
    return f"{100 * number:.{2 if number < 0.01 else 1}f} %"
