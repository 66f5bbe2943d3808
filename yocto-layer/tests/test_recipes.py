"""The recipes carry what the project says of itself, and what its sources import."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import tomllib

from metadata import LAYER, ROOT, Metadata

RECIPE = next((LAYER / "recipes-support/otakit").glob("otakit_*.bb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# What python3-manifest.json of openembedded-core splits Python's standard library into; what is not in
# python3-core has to be asked for.
SPLIT = {
    "asyncio": ("concurrent",),
    "compression": ("bz2", "lzma"),
    "crypt": ("hashlib",),
    "ctypes": ("ctypes",),
    "email": ("email",),
    "fcntl": ("fcntl",),
    "io": ("socket", "ssl", "tempfile"),
    "json": ("json",),
    "logging": ("logging",),
    "mmap": ("mmap",),
    "netclient": ("base64", "hmac", "http"),
    "resource": ("resource",),
    "threading": ("queue",),
    "tomllib": ("tomllib",),
}
CORE = """
    __future__ argparse array bisect collections contextlib dataclasses enum errno functools heapq importlib
    io itertools math operator os pathlib re reprlib select selectors shutil signal stat struct subprocess sys
    threading time types typing urllib zlib
"""


def recipe() -> Metadata:
    name, _, version = RECIPE.stem.partition("_")
    return Metadata(
        str(RECIPE.relative_to(LAYER)), PN=name, BP=f"{name}-{version}", bindir="", PYTHON_SITEPACKAGES_DIR=""
    )


def imported(*packages: str) -> set[str]:
    """Modules of the standard library that shipped sources import."""
    found: set[str] = set()
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        if "tests" in path.parts or path.name.startswith("build_"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found & sys.stdlib_module_names


def test_the_recipe_has_the_projects_version() -> None:
    assert RECIPE.stem == f"otakit_{PROJECT['project']['version']}"


def test_the_recipe_states_the_license_that_is_there() -> None:
    digest = hashlib.md5((ROOT / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest()
    assert recipe()["LIC_FILES_CHKSUM"] == f"file://LICENSE;md5={digest}"


def test_the_recipe_takes_every_package_along() -> None:
    taken = set(re.findall(r"file://([\w.]+);", recipe()["SRC_URI"]))
    wanted = {name.split(".")[0] for name in PROJECT["tool"]["setuptools"]["packages"]}
    assert wanted | {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"} == taken
    assert all((ROOT / name).exists() for name in taken)


def test_devices_get_what_the_project_depends_on() -> None:
    named = {re.split(r"[><=]", text)[0] for text in PROJECT["project"]["dependencies"]}
    assert {f"python3-{name}" for name in named} <= set(recipe()["RDEPENDS:otakit"].split())


def test_the_build_host_gets_what_otapack_depends_on() -> None:
    """But for what only `otapack publish` needs, which is not for a task of a build."""
    named = {re.split(r"[><=]", text)[0] for text in PROJECT["project"]["optional-dependencies"]["build"]}
    wanted = {f"python3-{name}" for name in named - {"rich"}}
    assert wanted <= set(recipe()["RDEPENDS:otakit-packager"].split())
    assert wanted <= set(recipe()["RDEPENDS:otakit:append:class-native"].split())


def test_devices_get_the_parts_of_python_that_are_imported() -> None:
    modules = imported("ota", "handlers", "boards")
    of = {module: package for package, names in SPLIT.items() for module in names}
    unknown = modules - set(CORE.split()) - of.keys()
    assert not unknown, f"which of openembedded-core's packages has {unknown}?"
    wanted = {f"python3-{of[module]}" for module in modules & of.keys()}
    assert wanted <= set(recipe()["RDEPENDS:otakit"].split())


def test_the_unit_starts_what_the_recipe_installs() -> None:
    text = RECIPE.read_text()
    for name in ("otakit-boot.service", "otakit"):
        assert f"${{S}}/ota/system/{name} " in text
        assert (ROOT / "ota/system" / name).is_file()
