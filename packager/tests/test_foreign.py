"""Packages that others made: swugenerator's, by hand with openssl and cpio, SWUpdate's own examples."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from packager.tests.conftest import Answer, FindTool, Project

# SWUpdate's examples/description, in its own words: multi-copy, single-copy and the two of "myboard".
MULTI_COPY = """software =
{
  version = "0.1";
  hardware-compatibility = [ "revA" ];
  /* differentiate running image modes/sets */
  stable: {
    main: {
      images: ( { filename = "rootfs.ext3"; device = "/dev/mmcblk0p2"; } );
      uboot: ( { name = "bootpart"; value = "0:2"; } );
    };
    alt: {
      images: ( { filename = "rootfs.ext3"; device = "/dev/mmcblk0p1"; } );
      uboot: ( { name = "bootpart"; value = "0:1"; } );
    };
  };
}
"""
SINGLE_COPY = """software = {
  version = "0.1";
  hardware-compatibility = [ "revA" ];
  images: ( { filename = "uImage"; volume = "kernel"; }, { filename = "rootfs.ubifs"; volume = "rootfs"; } );
}
"""
BOARD = {
    "hardware-compatibility": ["1.0", "1.3", "16#010071"],
    "partitions": [
        {"name": "rootfs", "device": "mtd10", "size": 104896512},
        {"name": "kernel", "device": "mtd9", "size": 4194304},
    ],
    "images": [
        {"filename": "core.ubifs", "volume": "rootfs", "type": "ubivol"},
        {
            "name": "bootloader", "version": "2016.01", "install-if-different": True,
            "filename": "u-boot.sb", "device": "mtd1", "type": "flash",
        },
        {"filename": "uboot-env", "type": "uboot"},
        {"filename": "fpga.txt", "type": "fpga"},
    ],
    "scripts": [
        {"filename": "test.lua", "type": "lua"},
        {"filename": "test_shell.sh", "type": "shellscript"},
    ],
    "uboot": [
        {"name": "myvar", "value": "4M"},
        {"name": "addmyvar", "value": "setenv bootargs ${bootargs} myvar=${myvar}"},
    ],
}  # fmt: skip
MYBOARD = {"software": {"version": "0.1.0", "myboard": BOARD}}
BOARD_LIBCONFIG = """software = {
  version = "0.1.0";
  /* "myboard" is the name that should be set into /etc/hwrevision */
  myboard = {
    hardware-compatibility: [ "1.0", "1.3", "16#010071"];
    partitions: ( /* UBI Volumes */
      { name = "rootfs"; device = "mtd10"; size = 104896512; /* in bytes */ },
      { name = "kernel"; device = "mtd9"; size = 4194304; }
    );
    images: (
      { filename = "core.ubifs"; volume = "rootfs"; type = "ubivol" },
      { name = "bootloader"; version = "2016.01"; install-if-different = true;
        filename = "u-boot.sb"; device = "mtd1"; type = "flash"; },
      { filename = "uboot-env"; type = "uboot"; },
      { filename = "fpga.txt"; type = "fpga"; }
    );
    scripts: (
      { filename = "test.lua"; type = "lua"; },
      { filename = "test_shell.sh"; type = "shellscript"; }
    );
    uboot: (
      { name = "myvar"; value = "4M"; },
      { name = "addmyvar"; value = "setenv bootargs ${bootargs} myvar=${myvar}" }
    );
  }
}
"""
# Everything that is done here, with links, for any board and one that has words of its own.
FULL = """software = {{
  version = "4.0"; name = "everything"; update-type = "os"; reboot = false;
  hardware-compatibility: [ "#RE:^1\\\\.[0-9]+$" ];
  namespace-for-vars = "space"; bootloader_transaction_marker = false;
  common = {{ files: (
    {{ filename = "a.bin"; path = "/etc/a"; version = "2"; name = "a"; sha256 = "{sha256}"; }}
  ); }};
  stable = {{
    one = {{
      partitions: ( {{ type = "diskformat"; device = "/dev/p7"; properties: {{ fstype = "ext4"; }} }} );
      images: (
        {{ filename = "a.bin"; device = "/dev/p1"; sha256 = "{sha256}"; size = 5; offset = "64K"; }}
      );
      files: ( {{ ref = "#/software/common/files" }} );
      scripts: ( {{ type = "shellscript"; filename = "a.bin"; data = "x y"; sha256 = "{sha256}"; }} );
      bootenv: ( {{ name = "slot"; value = "1"; }} );
      vars: ( {{ name = "v"; value = "w"; }} );
    }};
    two = {{ ref = "#./one"; }};
  }};
  big = {{ stable = {{ one = {{
    images: ( {{ filename = "a.bin"; device = "/dev/big"; sha256 = "{sha256}"; }} );
  }}; }}; }};
}};"""


@pytest.fixture
def pack(project: Project, tool: FindTool) -> Pack:
    return Pack(project, tool)


class Pack:
    """Makes gateway.swu as SWUpdate's users do: openssl cms, and GNU cpio."""

    def __init__(self, project: Project, tool: FindTool) -> None:
        self.project = project
        self.tool = tool
        self.package = project.folder / "foreign.swu"

    def make(self, description: str, files: Mapping[str, bytes], *, signed: bool = True) -> None:
        folder = self.project.folder / "pack"
        folder.mkdir(exist_ok=True)
        for name, data in {"sw-description": description.encode(), **files}.items():
            (folder / name).write_bytes(data)
        names = ["sw-description", *(["sw-description.sig"] if signed else []), *files]
        if signed:
            self._run(
                folder, "openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig",
                "-signer", self.project.signer.certificate, "-inkey", self.project.signer.key,
                "-outform", "DER", "-nosmimecap", "-binary",
            )  # fmt: skip
        archive = self._run(folder, "cpio", "-o", "-H", "crc", "--quiet", given="\n".join(names))
        self.package.write_bytes(archive)

    def inspect(self) -> Answer:
        return self.project.otapack("inspect", self.package)

    def verify(self) -> Answer:
        return self.project.otapack("verify", self.package, "--certificate", self.project.signer.certificate)

    def _run(self, folder: Path, program: str, *arguments: str | Path, given: str = "") -> bytes:
        return subprocess.run(
            [self.tool(program), *arguments],
            cwd=folder,
            input=given.encode(),
            capture_output=True,
            check=True,
        ).stdout


def types(answer: Answer, number: int = 0) -> list[tuple[str, str]]:
    """(section, type) of the entries of one choice."""
    return [(entry["section"], entry["type"]) for entry in answer.json["choices"][number]["entries"]]


def test_everything_is_shown_of_a_package_made_by_hand(pack: Pack) -> None:
    data = b"hello"
    pack.make(FULL.format(sha256=hashlib.sha256(data).hexdigest()), {"a.bin": data})
    answer = pack.verify()
    assert answer.status == 0, answer.log
    shown = answer.json
    assert (shown["name"], shown["version"], shown["update-type"]) == ("everything", "4.0", "os")
    assert (shown["reboot"], shown["bootloader_transaction_marker"]) == (False, False)
    assert (shown["namespace-for-vars"], shown["hardware"]) == ("space", ["#RE:^1\\.[0-9]+$"])
    assert [(choice["board"], choice["selection"]) for choice in shown["choices"]] == [
        ("", "stable,one"), ("big", "stable,one"), ("", "stable,two"),
    ]  # fmt: skip
    assert types(answer) == [
        ("partitions", "diskformat"), ("images", "raw"), ("files", "rawfile"), ("scripts", "shellscript")
    ]  # fmt: skip
    assert types(answer, 2) == types(answer)
    entries = shown["choices"][0]["entries"]
    assert entries[0]["properties"] == {"fstype": "ext4"}
    assert (entries[1]["offset"], entries[1]["size"]) == (65536, 5)
    assert (entries[2]["path"], entries[2]["version"], entries[3]["data"]) == ("/etc/a", "2", "x y")
    assert (shown["choices"][0]["bootenv"], shown["choices"][0]["vars"]) == ({"slot": "1"}, {"v": "w"})
    assert shown["choices"][1]["entries"][1]["device"] == "/dev/big"


def test_people_are_shown_everything_too(pack: Pack, capsys: pytest.CaptureFixture[str]) -> None:
    from packager import cli

    pack.make(FULL.format(sha256=hashlib.sha256(b"hello").hexdigest()), {"a.bin": b"hello"})
    capsys.readouterr()
    assert cli.main(["inspect", str(pack.package)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "update-type",
        "offset: 65536",
        "fstype: ext4",
        "/etc/a",
        "v=w",
        "slot=1",
        "big stable,one",
    ):
        assert words in printed


@pytest.mark.parametrize("json_form", [False, True])
def test_swupdates_example_of_two_copies_is_verified_as_soon_as_it_is_signed(
    pack: Pack, json_form: bool
) -> None:
    files = {"rootfs.ext3": b"image"}
    if json_form:
        image = {"filename": "rootfs.ext3", "device": "/dev/mmcblk0p2"}
        mode = {"images": [image], "uboot": [{"name": "bootpart", "value": "0:2"}]}
        alt = {
            "images": [{**image, "device": "/dev/mmcblk0p1"}],
            "uboot": [{"name": "bootpart", "value": "0:1"}],
        }
        software = {
            "version": "0.1",
            "hardware-compatibility": ["revA"],
            "stable": {"main": mode, "alt": alt},
        }
        text = json.dumps({"software": software})
    else:
        text = MULTI_COPY
    pack.make(text, files, signed=False)
    answer = pack.inspect()
    assert answer.status == 0, answer.log
    assert (answer.json["signed"], answer.json["signer"]) == (False, None)
    assert [choice["selection"] for choice in answer.json["choices"]] == ["stable,main", "stable,alt"]
    assert [choice["bootenv"] for choice in answer.json["choices"]] == [
        {"bootpart": "0:2"},
        {"bootpart": "0:1"},
    ]
    assert types(answer) == [("images", "raw")]
    assert pack.verify().code == "signature-missing"
    pack.make(text, files)
    assert pack.verify().code == "digest-missing"  # stock: "Hash not set for rootfs.ext3"
    digest = hashlib.sha256(b"image").hexdigest()
    old, new = (
        ('"device"', f'"sha256": "{digest}", "device"')
        if json_form
        else ("device", f'sha256 = "{digest}"; device')
    )
    pack.make(text.replace(old, new), files)
    assert pack.verify().status == 0


@pytest.mark.parametrize("text", [json.dumps(MYBOARD), BOARD_LIBCONFIG], ids=["json", "libconfig"])
def test_swupdates_example_of_a_board_is_shown_and_its_flash_refused(pack: Pack, text: str) -> None:
    names = ("core.ubifs", "u-boot.sb", "uboot-env", "fpga.txt", "test.lua", "test_shell.sh")
    pack.make(text, {name: name.encode() for name in names}, signed=False)
    answer = pack.inspect()
    assert answer.status == 0, answer.log
    (choice,) = answer.json["choices"]
    assert choice["board"] == "myboard"
    assert types(answer) == [
        ("partitions", "ubipartition"), ("partitions", "ubipartition"), ("images", "ubivol"),
        ("images", "flash"), ("images", "uboot"), ("images", "fpga"), ("scripts", "lua"),
        ("scripts", "shellscript"),
    ]  # fmt: skip
    assert choice["entries"][0]["size"] == 104896512
    assert (choice["entries"][3]["version"], choice["entries"][3]["install-if-different"]) == (
        "2016.01",
        True,
    )
    assert choice["bootenv"]["addmyvar"] == "setenv bootargs ${bootargs} myvar=${myvar}"
    assert answer.json["hardware"] == ["1.0", "1.3", "16#010071"]


def test_swupdates_example_for_ubi_is_shown(pack: Pack) -> None:
    pack.make(SINGLE_COPY, {"uImage": b"k", "rootfs.ubifs": b"r"}, signed=False)
    assert types(pack.inspect()) == [("images", "ubivol"), ("images", "ubivol")]


A = f'filename = "a"; sha256 = "{hashlib.sha256(b"a").hexdigest()}";'
B = f'filename = "b"; sha256 = "{hashlib.sha256(b"b").hexdigest()}";'
IMAGE = f'images: ( {{ {A} device = "/dev/x"; %s }} );'


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        (IMAGE % 'type = "ubivol"; volume = "v";', "feature-absent", ("UBI", "images a")),
        (IMAGE % 'type = "docker_imageload";', "feature-absent", ("Docker",)),
        (IMAGE % 'type = "fpga";', "description-type", ("fpga", "images a")),
        (IMAGE % 'type = "shellscript";', "description-type", ("scripts", "images")),
        (IMAGE % 'hook = "f";', "feature-absent", ("Lua", "hook")),
        (IMAGE % 'type = "archive";', "description-content", ("path",)),
        (IMAGE % 'type = "executor";', "description-content", ("cmd",)),
        (IMAGE % "size = 3;", "member-size", ("3 bytes",)),
        (IMAGE % 'compressed = "bzip2";', "description-content", ("bzip2",)),
        (IMAGE % "" + f"scripts: ( {{ {B} }} );", "feature-absent", ("Lua", "scripts b")),
        ('embedded-script = "x";' + IMAGE % "", "feature-absent", ("Lua",)),
        ('scripts: ( { type = "shellscript"; } );', "description-content", ("filename",)),
        (
            'partitions: ( { type = "diskpart"; device = "/dev/x"; properties: { labeltype = "mbr"; } } );',
            "description-content",
            ("labeltype", "/dev/x"),
        ),
        ('partitions: ( { type = "diskpart"; } );', "description-content", ("device",)),
        (IMAGE % "" + 'files: ( { filename = "b"; path = "/b"; } );', "digest-missing", ("b",)),
        (IMAGE % f'}}, {{ {B} device = "/dev/x";', "target-doubled", ("images a", "images b")),
        (
            IMAGE % f'installed-directly = true; }}, {{ {A} device = "/dev/y";',
            "description-content",
            ("installed-directly",),
        ),
    ],
)
def test_what_stock_or_a_device_refuses_is_refused_by_code_and_entry(
    pack: Pack, sections: str, code: str, words: Sequence[str]
) -> None:
    text = f'software = {{ version = "1"; hardware-compatibility: [ "1" ]; {sections} }};'
    pack.make(text, {"a": b"a", "b": b"b"})
    answer = pack.verify()
    assert answer.code == code, answer.log
    for word in words:
        assert word in answer.log


def test_what_swugenerator_makes_is_verified_and_shown(
    project: Project, tool: FindTool, tmp_path: Path
) -> None:
    folder = tmp_path / "generator"
    folder.mkdir()
    (folder / "rootfs.bin").write_bytes(project.v2)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "aes.key").write_text(f"key={'ab' * 32}\niv={'cd' * 16}\n")
    (folder / "swupdate.key").write_text(f"{'ab' * 32} {'cd' * 16}\n")
    (folder / "sw-description.in").write_text(
        'software = { version = "3.1"; hardware-compatibility: [ "1.0" ];\n'
        'images: ( { filename = "rootfs.bin"; type = "raw"; device = "/dev/x"; compressed = "zlib"; '
        "encrypted = true; } );\n"
        'scripts: ( { filename = "run.sh"; type = "shellscript"; } ); };'
    )
    tool("openssl")
    package = folder / "made.swu"
    subprocess.run(
        [
            sys.executable, "-m", "swugenerator.main", "-s", folder / "sw-description.in", "-a", folder,
            "-o", package, "-k", f"CMS,{project.signer.key},{project.signer.certificate}",
            "-K", folder / "aes.key", "create",
        ],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    trust = ("--certificate", project.signer.certificate)
    answer = project.otapack("verify", package, *trust, "--decrypt-key", folder / "swupdate.key")
    assert answer.status == 0, answer.log
    assert types(answer) == [("images", "raw"), ("scripts", "shellscript")]
    image = next(artifact for artifact in answer.json["artifacts"] if artifact["type"] == "raw")
    assert image["image_sha256"] == hashlib.sha256(project.v2).hexdigest()
    assert project.otapack("verify", package, *trust).status == 0
