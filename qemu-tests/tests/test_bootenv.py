"""The reader of boot environments that judges power cuts, against the boot loaders' own tools."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import bootenv
import pytest
import verdict
from bootenv import NoEnvironmentError

from ota.interfaces import Range

VARIABLES = {"boot_slot": "a", "ustate": "0", "boot_tries": "0", "text": "with spaces = and more"}


def test_fw_setenv_and_the_reader_agree_on_which_copy_counts(
    tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    medium, config = tmp_path / "medium", tmp_path / "fw_env.config"
    medium.write_bytes(bootenv.render_uboot(VARIABLES, 0) + bootenv.render_uboot({"old": "1"}, 255))
    size = bootenv.UBOOT_SIZE
    config.write_text(f"{medium} 0 {size:#x}\n{medium} {size:#x} {size:#x}\n")
    told = {**VARIABLES}
    for count in range(5):
        data = medium.read_bytes()
        assert bootenv.read_uboot(data[:size], data[size:]) == told
        told["boot_tries"] = str(count)
        words: list[str | Path] = [tool("fw_setenv"), "-c", config, "boot_tries", str(count)]
        subprocess.run(words, check=True, capture_output=True)


def test_a_torn_copy_does_not_count_and_two_are_no_environment() -> None:
    good, newer = bootenv.render_uboot(VARIABLES, 1), bootenv.render_uboot({"boot_slot": "b"}, 2)
    torn = newer[:700] + b"\xff" + newer[701:]
    assert bootenv.read_uboot(newer, good) == {"boot_slot": "b"}
    assert bootenv.read_uboot(torn, good) == VARIABLES
    with pytest.raises(NoEnvironmentError):
        bootenv.read_uboot(torn, torn)


def test_grub_editenv_and_the_reader_agree(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    path = tmp_path / "grubenv"
    path.write_bytes(bootenv.render_grub(VARIABLES))
    subprocess.run([tool("grub-editenv"), path, "set", "boot_slot=b"], check=True)
    assert bootenv.read_grub(path.read_bytes()) == {**VARIABLES, "boot_slot": "b"}
    listed = subprocess.run([tool("grub-editenv"), path, "list"], check=True, capture_output=True, text=True)
    pairs = dict(line.split("=", 1) for line in listed.stdout.splitlines())
    assert pairs == {**VARIABLES, "boot_slot": "b"}
    with pytest.raises(NoEnvironmentError):
        bootenv.read_grub(bytes(bootenv.GRUB_SIZE))


def test_what_is_asked_for_again_is_seen() -> None:
    held = [Range(0, 10), Range(20, 30)]
    assert not [*verdict.fetched_twice(held, [Range(10, 20), Range(30, 50)])]
    assert [*verdict.fetched_twice(held, [Range(25, 26)])]
    assert [*verdict.fetched_twice(held, [Range(30, 50), Range(49, 51)])]
