"""The annotated release file says all that can be said, and what it says can be built."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import packager
from ota.settings import Table
from packager import release
from packager.tests.conftest import Project

EXAMPLE = Path(packager.__file__).parent / "release.example.toml"

SBOM = """{
    "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "rootfs", "dataLicense": "CC0-1.0",
    "documentNamespace": "https://example.com/rootfs", "packages": [
        {"SPDXID": "SPDXRef-1", "name": "busybox", "versionInfo": "1.36.1", "downloadLocation": "NONE"}
    ]
}"""


@pytest.fixture
def example(project: Project) -> Path:
    """The example beside all that it names."""
    folder = project.folder
    assert project.build("delta", '[bases]\ncatalogue = "catalogue"').status == 0
    first = project.write("delta")
    first.write_text(first.read_text().replace("v2.img", "v1.img"))
    assert project.otapack("build", first, "-o", folder / "out-2.0.0").status == 0
    for name in ("catalogue", "published"):
        (folder / name).mkdir()
    demo = (Path(packager.__file__).parents[1] / "boards/demo.toml").read_text()
    (folder / "other.toml").write_text(demo.replace('name = "demo"', 'name = "other"'))
    (folder / "rootfs.spdx.json").write_text(SBOM)
    shutil.copyfile(project.signer.certificate, folder / "signer.pem")
    shutil.copyfile(project.signer.key, folder / "signer.key")
    return Path(shutil.copyfile(EXAMPLE, folder / "example.toml"))


def test_the_example_is_built_with_all_that_it_says(project: Project, example: Path) -> None:
    result = project.otapack("build", example, "-o", project.folder / "example")
    assert result.status == 0, result.log
    answer = result.json
    chosen = {row["base"]: row["method"] for row in answer["estimate"]["rows"] if row["chosen"]}
    assert chosen == {None: "full", "2.0.0": "rdiff", "1.0.0": "rdiff"}
    said = {"update-type": "os", "reboot": True, "namespace-for-vars": "gateway", "name": "gateway-os"}
    assert {name: answer[name] for name in said} == said
    assert [choice["board"] for choice in answer["choices"]] == ["demo", "other"] * 2
    for choice in answer["choices"]:
        slot = choice["selection"][-1]
        assert choice["bootenv"] == {"boot_slot": slot, "bootdelay": "0"}
        assert choice["vars"] == {"channel": "stable"}
        entries = {entry["name"]: entry for entry in choice["entries"]}
        types = ["diskformat", "delta", "raw", "rdiff_image", "archive", "postinstall", "emmc_boot"]
        assert [entry["type"] for entry in entries.values()] == types
        assert entries["rootfs"]["install-if-different"] is True
        assert entries["kernel"]["device"] == {"a": "/dev/mmcblk0p5", "b": "/dev/mmcblk0p6"}[slot]
        assert entries["kernel"]["encrypted"] is True


def test_every_key_that_the_reader_knows_stands_in_the_example(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: set[str] = set()
    take = Table._take

    def recording(self: Table, key: str, *more: object) -> object:
        if self.path == example:
            known.add(re.sub(r" \d+", "", self._path(key)))
        return take(self, key, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "_take", recording)
    release.read(example)
    text = EXAMPLE.read_text()
    assert len(known) > 80
    for path in known:
        key = re.escape(path.rpartition(".")[2])
        assert re.search(rf"(^|[\s#{{.])({key} = |{key}\.|\[+{key}\])", text, re.MULTILINE) or (
            path.startswith(("image.slots.", "file.slots.", "script.slots."))
        ), f"{path} is not explained"
