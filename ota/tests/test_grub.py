"""GRUB's environment, held against GRUB's own grub-editenv; and what its one sector allows."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from ota.boot.grub import HEADER, SECTOR, SIZE, GrubEnvironment
from ota.errors import DeviceError
from ota.tests.media import make_grub
from ota.tests.vendor import FindTool

ROUNDS = 400
ALPHABET = ["a", "b", "0", " ", "=", "#", "\\", "\n", "ä", "\udcff", "'", '"', "$", "\t", "\r"]


def editenv(tool: FindTool, grubenv: Path, *words: str) -> bytes:
    return subprocess.run([tool("grub-editenv"), grubenv, *words], check=True, capture_output=True).stdout


def test_we_and_grub_editenv_read_what_the_other_wrote(tmp_path: Path, tool: FindTool) -> None:
    grubenv, chance = make_grub(tmp_path, tool), random.Random(7)
    environment = GrubEnvironment(grubenv)
    model, ours, full = dict(environment.read()), 0, 0
    for _ in range(ROUNDS):
        name = f"name{chance.randrange(9)}"
        value = (
            "".join(chance.choices(ALPHABET, k=chance.randrange(1, 70))) if chance.random() < 0.7 else None
        )
        if chance.random() < 0.5:
            words = ["unset", name] if value is None else ["set", f"{name}={value}"]
            if value is None or len(grubenv.read_bytes().rstrip(b"#")) < SIZE - 200:
                editenv(tool, grubenv, *words)
                model = changed(model, name, value)
        else:
            before = grubenv.read_bytes()
            try:
                environment.apply({name: value})
                model, ours = changed(model, name, value), ours + 1
            except DeviceError as error:
                assert "first sector" in str(error)
                assert bool(grubenv.read_bytes() == before)
                full += 1
        assert dict(environment.read()) == model
        listed = "".join(f"{name}={value}\n" for name, value in environment.read().items())
        assert editenv(tool, grubenv, "list") == listed.encode(errors="surrogateescape")
    assert ours > ROUNDS // 10 and full > ROUNDS // 20, (ours, full)


def changed(variables: dict[str, str], name: str, value: str | None) -> dict[str, str]:
    kept = {other: said for other, said in variables.items() if other != name}
    return kept if value is None else {**kept, name: value}


def test_one_step_is_one_write_of_the_first_sector(
    tmp_path: Path, tool: FindTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    grubenv = make_grub(tmp_path, tool)
    inode, before, pwrite = grubenv.stat().st_ino, grubenv.read_bytes(), os.pwrite
    writes = []

    def counted(file: int, data: bytes, offset: int) -> int:
        writes.append((offset, len(data)))
        return pwrite(file, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    GrubEnvironment(grubenv).apply({"boot_slot": "b", "ustate": "1", "bootcmd": None})
    after = grubenv.read_bytes()
    assert writes == [(0, SECTOR)]
    assert bool(after[:SECTOR] != before[:SECTOR]) and bool(after[SECTOR:] == before[SECTOR:])
    assert grubenv.stat().st_ino == inode


def test_what_does_not_fit_into_the_first_sector_is_refused(tmp_path: Path, tool: FindTool) -> None:
    grubenv = make_grub(tmp_path, tool)
    used = len(grubenv.read_bytes().rstrip(b"#")) + len("more=\n") + len("boot_tries=0\n")
    environment = GrubEnvironment(grubenv)
    environment.apply({"more": "x" * (SECTOR - used)})
    before = grubenv.read_bytes()
    with pytest.raises(DeviceError, match="first sector") as caught:
        environment.apply({"more": "x" * (SECTOR - used + 1)})
    assert caught.value.code == "boot-environment"
    assert bool(grubenv.read_bytes() == before)
    environment.apply({"boot_tries": "0"})  # its room was kept free
    assert len(grubenv.read_bytes().rstrip(b"#")) == SECTOR


def test_where_variables_lie_in_the_second_sector_nothing_is_switched(tmp_path: Path, tool: FindTool) -> None:
    grubenv = make_grub(tmp_path, tool)
    editenv(tool, grubenv, "set", "much=" + "x" * SECTOR)
    before = grubenv.read_bytes()
    for changes in ({"boot_slot": "b"}, {"much": None}):
        with pytest.raises(DeviceError, match="first sector"):
            GrubEnvironment(grubenv).apply(changes)
    assert bool(grubenv.read_bytes() == before)
    assert GrubEnvironment(grubenv).get("much") == "x" * SECTOR


def test_the_comments_that_grub_wrote_stay(tmp_path: Path, tool: FindTool) -> None:
    grubenv = make_grub(tmp_path, tool)
    grubenv.write_bytes((HEADER + b"# edited by = nobody\nboot_slot=a\n").ljust(SIZE, b"#"))
    GrubEnvironment(grubenv).apply({"boot_slot": "b"})
    assert grubenv.read_bytes().startswith(HEADER + b"# edited by = nobody\nboot_slot=b\n##")
