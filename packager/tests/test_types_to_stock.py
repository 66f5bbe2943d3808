"""Every type in both forms, and encrypted artifacts, shown to stock SWUpdate 2024.12, the real program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ota.formats.description import Form
from ota.tests.stock import BACKPORTS
from packager.tests.conftest import FindTool, Project
from packager.tests.examples import entry
from packager.types import TYPES

pytestmark = pytest.mark.compat

TIMEOUT_S = 60

# Debian's build has no handler for these.
ABSENT = frozenset({"emmc_boot", "emmc_boot_toggle"})

BOARD = """name = "demo"
revisions = ["1.0"]
[slots.a]
device = "{folder}/slot-a"
mode = "copy-a"
[slots.b]
device = "{folder}/slot-b"
mode = "copy-b"
bootenv = {{ boot_slot = "b" }}
"""


def stock(project: Project, tool: FindTool, *arguments: str | Path) -> tuple[int, str]:
    """Exit status and log of stock SWUpdate with what was built, for slot b."""
    folder = project.folder / "stock"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            tool(BACKPORTS), "-v", "-k", project.signer.certificate, "-H", "demo:1.0",
            "-e", "stable,copy-b", *arguments, "-i", project.package,
        ],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},
        cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("kind", TYPES)
def test_stock_takes_every_type_that_it_was_built_with(
    project: Project, kind: str, form: Form, tool: FindTool
) -> None:
    head = f'format = "{form}"' + ("" if TYPES[kind].is_for_slots else "\nswitch = false")
    # Debian's build lacks xz and lz4; zstd and zlib it has.
    assert project.build_release(entry(kind), head).status == 0
    status, log = stock(project, tool, "-c")
    if kind in ABSENT:
        assert status != 0 and f"feature '{kind}' required for" in log
    else:
        assert status == 0, log
        assert "Type mismatch" not in log and "cropping" not in log


def test_one_type_in_the_wrong_section_would_have_been_noticed(project: Project, tool: FindTool) -> None:
    """The check above can fail: what otapack refuses to write, stock refuses to take."""
    release = project.write_release(entry("postinstall"), "switch = false")
    assert project.otapack("build", release, "-o", project.out).status == 0
    whole = project.package.read_bytes()
    project.package.write_bytes(whole.replace(b"postinstall", b"postin_tall"))
    assert stock(project, tool, "-c")[0] != 0


@pytest.mark.parametrize("form", Form)
def test_stock_installs_images_files_and_scripts_that_are_encrypted(
    project: Project, form: Form, tool: FindTool
) -> None:
    folder = project.folder
    (folder / "own.toml").write_text(BOARD.format(folder=folder))
    for slot in ("slot-a", "slot-b"):
        (folder / slot).write_bytes(bytes(4 << 20))
    (folder / "run.sh").write_text(f'#!/bin/sh\necho "$@" >> {folder}/ran\n')
    (folder / "env.txt").write_text("one=1\n")
    path = project.write_release(
        '[[image]]\nname = "rootfs"\ntype = "raw"\ncompressed = "zstd"\nlevel = 3\nencrypted = true\n'
        'file = "v2.img"\nsize = true\n'
        '[[image]]\nname = "env"\ntype = "bootloader"\nfile = "env.txt"\n'
        '[[file]]\nname = "empty"\ntype = "rawfile"\nfile = "empty"\n'
        f'path = "{folder}/new/empty"\nproperties = {{ create-destination = "true" }}\n'
        '[[file]]\nname = "motd"\ntype = "rawfile"\nfile = "run.sh"\nencrypted = true\ncompressed = "zlib"\n'
        f'path = "{folder}/motd"\nproperties = {{ atomic-install = "true" }}\n'
        '[[script]]\nname = "run"\ntype = "shellscript"\nfile = "run.sh"\nencrypted = true\ndata = "-x y"\n'
        '[encrypt]\nkey = "aes.key"\n[bootenv]\nextra = "1"\n',
        f'format = "{form}"',
    )
    path.write_text(path.read_text().replace('board = "demo"', 'board = "own.toml"'))
    answer = project.otapack("build", path, "-o", project.out)
    assert answer.status == 0, answer.log
    status, log = stock(project, tool, "-K", folder / "aes.key", "-M", "-m")
    assert bool((folder / "slot-b").read_bytes()[: len(project.v2)] == project.v2), log
    assert not any((folder / "slot-a").read_bytes())
    assert (folder / "new/empty").read_bytes() == b""
    assert (folder / "motd").read_text() == (folder / "run.sh").read_text()
    assert (folder / "ran").read_text() == "preinst -x y\npostinst -x y\n"
    assert "Bootloader var: boot_slot = b" in log and "Bootloader var: extra = 1" in log
    assert "Type mismatch" not in log
    assert status == 0, log


@pytest.mark.parametrize("form", Form)
def test_stock_reads_the_common_fields(project: Project, form: Form, tool: FindTool) -> None:
    answer = project.build_release(
        entry("raw") + '\n[bootenv]\nx = "y"\n[vars]\nv = "w"\n',
        f'format = "{form}"\nreboot = false\nupdate-type = "os"\nnamespace-for-vars = "space"\n'
        "bootloader_state_marker = false\nbootloader_transaction_marker = false",
    )
    assert answer.status == 0, answer.log
    status, log = stock(project, tool, "-c")
    assert status == 0, log
    for said in (
        "SWUpdate var: v = w", "Bootloader var: x = y", "SWUpdate's vars: space", "reboot_required 0",
        "bootloader state marker: false", "bootloader transaction marker: false", "Version 2.0.0",
    ):  # fmt: skip
        assert said in log, said
