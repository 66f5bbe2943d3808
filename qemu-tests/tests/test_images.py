"""The recipes: what is made twice is the same, and an artefact is made when there is none like it."""

from __future__ import annotations

import threading
from pathlib import Path

import artefacts
import emmc
import emulation
import images
import initramfs
import pytest
from initramfs import Entry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For artefacts of this test alone."""
    monkeypatch.setattr(artefacts, "FOLDER", tmp_path / "boards")
    return tmp_path / "boards"


def test_an_artefact_is_made_once_however_many_ask_for_it(folder: Path) -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("x")

    askers = [threading.Thread(target=artefacts.made, args=("thing", make, "a")) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(made) == 1


def test_another_input_makes_another_artefact(folder: Path) -> None:
    first, second = (artefacts.made("thing", Path.touch, text) for text in ("a", "b"))
    assert first != second
    assert first.exists() and second.exists()


def test_a_recipe_that_fails_leaves_nothing(folder: Path) -> None:
    def make(path: Path) -> None:
        path.write_text("half")
        raise OSError

    with pytest.raises(OSError):
        artefacts.made("thing", make)
    assert [path.name for path in folder.iterdir()] == [".thing.lock"]


def test_an_archive_is_what_cpio_reads(tmp_path: Path) -> None:
    entries = [
        Entry("folder", 0o40755),
        Entry("folder/file", 0o100644, b"12345"),
        Entry("link", 0o120777, b"a"),
    ]
    archive = initramfs.archive(entries)
    (tmp_path / "archive").write_bytes(archive)
    artefacts.run("sh", "-c", f"{artefacts.tool('cpio')} -id --quiet < archive", folder=tmp_path)
    assert (tmp_path / "folder" / "file").read_bytes() == b"12345"
    assert (tmp_path / "link").readlink() == Path("a")


@pytest.mark.boards
@pytest.mark.parametrize("board", emulation.NAMES)
def test_a_release_that_is_made_twice_is_the_same(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = images.slot_image(board, "1.0.0")
    kept: list[Path] = []
    made = artefacts.made

    def again(name: str, make: artefacts.Make, *inputs: str | Path) -> Path:
        """What is put together afresh is the image alone."""
        path = made(f"again-{name}" if name.startswith(board) else name, make, *inputs)
        kept.append(path)
        return path

    monkeypatch.setattr(artefacts, "made", again)
    second = images.slot_image(board, "1.0.0")
    assert second != first
    assert bool(second.read_bytes() == first.read_bytes())
    second.unlink()


@pytest.mark.boards
@pytest.mark.parametrize("board", emulation.NAMES)
def test_releases_fit_their_slot_and_differ_in_part(board: str) -> None:
    first, second = (images.slot_image(board, version) for version in ("1.0.0", "2.0.0"))
    size = emulation.read(board).partition("slot-a").size
    assert first.stat().st_size <= 34_000_000 < size
    assert bool(first.read_bytes() != second.read_bytes())
    disk = emmc.disk_image(board, {"a": first, "b": second})
    for slot, image in (("a", first), ("b", second)):
        with disk.open("rb") as file:
            file.seek(emulation.read(board).offset(f"slot-{slot}"))
            assert bool(file.read(image.stat().st_size) == image.read_bytes())


@pytest.mark.boards
def test_every_module_of_the_agent_loads_in_the_guest(tmp_path: Path) -> None:
    """Nothing that it needs was left out; libarchive is loaded with an archive, build_* by compilers."""
    image = images.slot_image("qemu-x86_64", "1.0.0")
    artefacts.run(artefacts.tool("unsquashfs"), "-q", "-n", "-d", tmp_path / "root", image)
    program = """
import handlers, importlib, ota, pkgutil
for package in (ota, handlers):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(found.name)
        except ImportError as error:
            if "libarchive" not in str(error) and ".build_" not in found.name:
                raise
"""
    artefacts.run("chroot", tmp_path / "root", "/usr/bin/python3", "-I", "-c", program)
