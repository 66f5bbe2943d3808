"""What the agent remembers of slots, at every moment at which the power may go."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.sync.manifests import Manifests


def manifest(word: bytes) -> Header:
    return zchunk.parse_manifest(zchunk.render([(hashlib.sha256(word).digest(), 5000)]))


OLD, NEW = manifest(b"old"), manifest(b"new")


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    kept = Manifests(tmp_path)
    kept.commit("b", OLD, "1.0", "https://localhost/old.zck")
    return kept


def digest(header: Header | None) -> bytes | None:
    return None if header is None else header.digest(0)


def test_what_was_committed_is_known(manifests: Manifests) -> None:
    record = manifests.record("b")
    assert digest(manifests.get("b")) == OLD.digest(0)
    assert record
    assert (record.version, record.url, record.image_size) == ("1.0", "https://localhost/old.zck", 5000)
    assert (manifests.get("a"), manifests.record("a"), manifests.pending("a")) == (None, None, None)


def test_what_was_begun_is_pending_and_no_longer_known(manifests: Manifests) -> None:
    manifests.begin("b", NEW)
    assert (manifests.get("b"), manifests.record("b")) == (None, None)
    assert digest(manifests.pending("b")) == NEW.digest(0)
    manifests.commit("b", NEW, "2.0", "")
    assert digest(manifests.get("b")) == NEW.digest(0)
    assert manifests.pending("b") is None


def test_a_power_cut_while_beginning_leaves_the_slot_pending(manifests: Manifests, tmp_path: Path) -> None:
    """The pending manifest is written first; the old one may still be there beside it."""
    slots = tmp_path / "slots"
    (slots / "b.pending.zck-header").write_bytes(NEW.data)
    assert (manifests.get("b"), manifests.record("b")) == (None, None)
    assert digest(manifests.pending("b")) == NEW.digest(0)


def test_a_record_of_another_manifest_is_not_believed(manifests: Manifests, tmp_path: Path) -> None:
    """A power cut between the two files of a commit."""
    (tmp_path / "slots/b.zck-header").write_bytes(NEW.data)
    assert digest(manifests.get("b")) == NEW.digest(0)
    assert manifests.record("b") is None


@pytest.mark.parametrize("rot", [b"", b"{}", b"nonsense", b'{"version": 1}'])
def test_damaged_files_are_as_if_they_were_not_there(
    manifests: Manifests, tmp_path: Path, rot: bytes
) -> None:
    (tmp_path / "slots/b.json").write_bytes(rot)
    assert manifests.record("b") is None
    (tmp_path / "slots/b.zck-header").write_bytes(rot)
    assert manifests.get("b") is None


def test_what_is_forgotten_is_unknown(manifests: Manifests) -> None:
    manifests.begin("b", NEW)
    manifests.forget("b")
    assert (manifests.get("b"), manifests.record("b"), manifests.pending("b")) == (None, None, None)
