"""What the agent remembers of slots, at every moment at which the power may go."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.formats import zchunk
from ota.formats.zchunk import Header
from ota.io import durable
from ota.sync import manifests as kept_manifests
from ota.sync.manifests import Manifests


def manifest(word: bytes) -> Header:
    return zchunk.parse_manifest(zchunk.render([(hashlib.sha256(word).digest(), 5000)]))


OLD, NEW, NEWER, PROVED = map(manifest, (b"old", b"new", b"newer", b"proved"))


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


class PowerCutError(Exception):
    """The power went."""


def cut_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many durable steps pass."""
    left = steps

    def counted(step: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: object) -> None:
            nonlocal left
            if not left:
                raise PowerCutError
            left -= 1
            step(*arguments)

        return run

    monkeypatch.setattr(kept_manifests, "replace", counted(durable.replace))
    monkeypatch.setattr(kept_manifests, "remove", counted(durable.remove))


def remains(manifests: Manifests) -> list[bytes]:
    return [header.digest(0) for header in manifests.remains("b")]


def test_a_cut_while_an_update_begins_leaves_the_slot_whole_or_pending(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_after(0, monkeypatch)
    with pytest.raises(PowerCutError):
        manifests.begin("b", NEW)
    assert (digest(manifests.get("b")), manifests.remains("b")) == (OLD.digest(0), [])
    cut_after(1, monkeypatch)
    manifests.begin("b", NEW)  # it is one step
    assert (manifests.get("b"), manifests.record("b")) == (None, None)
    assert remains(manifests) == [NEW.digest(0), OLD.digest(0)]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cut_while_a_newer_update_begins_loses_nothing_that_is_known(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """PROVED stands for what of NEW and OLD is in the slot."""
    manifests.begin("b", NEW)
    cut_after(steps, monkeypatch)
    with contextlib.suppress(PowerCutError):
        manifests.begin("b", NEWER, PROVED)
    assert (manifests.get("b"), manifests.record("b")) == (None, None)
    left = set(remains(manifests))
    assert PROVED.digest(0) in left or left == {NEW.digest(0), OLD.digest(0)}
    assert (steps == 2) == (NEWER.digest(0) in left)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_cut_while_an_update_is_committed_leaves_it_pending_or_whole(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    manifests.begin("b", NEW)
    cut_after(steps, monkeypatch)
    with contextlib.suppress(PowerCutError):
        manifests.commit("b", NEW, "2.0", "")
    if steps < 3:
        assert (manifests.get("b"), manifests.record("b")) == (None, None)
        assert NEW.digest(0) in remains(manifests)
    else:
        assert (digest(manifests.get("b")), remains(manifests)) == (NEW.digest(0), [])
        assert (record := manifests.record("b"))
        assert record.version == "2.0"


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_cut_while_a_slot_is_forgotten_says_nothing_wrong(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    manifests.begin("b", NEW)
    cut_after(steps, monkeypatch)
    with contextlib.suppress(PowerCutError):
        manifests.forget("b")
    assert (manifests.get("b"), manifests.record("b")) == (None, None)


def test_what_is_learned_while_an_update_goes_on_does_not_make_the_slot_whole(manifests: Manifests) -> None:
    manifests.begin("b", NEW)
    manifests.learn("b", OLD)
    assert manifests.get("b") is None
    assert remains(manifests) == [NEW.digest(0), OLD.digest(0)]


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
