"""Descriptions such as SWUpdate's own examples and its documentation show: same structure, own words.

After examples/description and doc/source/{sw-description,handlers,delta-update}.rst of SWUpdate 2024.12. Each
is libconfig; `test_examples.py` says the same in JSON, and holds what we select against what stock finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BOARD: Final = "press"  # of most examples; revision 2.1


@dataclass(frozen=True, slots=True)
class Example:
    """One description.

    Args:
        runs: (board, "set,mode" or "") of devices that look at it.
        lacks: the features behind its entries that this program does not have.
        code: where it is refused as a whole, the same on every device.
        lost: modes in which stock 2024.12 finds nothing: it frees a link's path that it goes on to use.
    """

    name: str
    text: str
    runs: tuple[tuple[str, str], ...] = ((BOARD, ""),)
    lacks: tuple[str, ...] = ()
    code: str = ""
    lost: tuple[str, ...] = ()


def _software(text: str) -> str:
    return f'software = {{ version = "3.4"; hardware-compatibility: [ "2.0", "2.1" ]; {text} }}'


_COPIES: Final = (("press", "stable,left"), ("press", "stable,right"), ("lathe", "stable,left"))

WHOLE: Final = (
    Example(
        "one copy, in UBI volumes",
        _software(
            'images: ( { filename = "kernel.img"; volume = "boot"; }, '
            '{ filename = "root.ubifs"; volume = "root"; } );'
        ),
        lacks=("UBI",),
    ),
    Example(
        "two copies, each with its boot variable",
        _software("""
            stable: {
              left: { images: ( { filename = "root.ext4"; device = "/dev/sda2"; } );
                      uboot: ( { name = "start"; value = "sda2"; } ); };
              right: { images: ( { filename = "root.ext4"; device = "/dev/sda3"; } );
                       uboot: ( { name = "start"; value = "sda3"; } ); };
            };"""),
        _COPIES[:2],
    ),
    Example(
        "a board with raw flash and Lua",
        """
        software = { version = "3.4";
          press = {
            hardware-compatibility: [ "2.0", "2.1", "9#77" ];
            partitions: ( { name = "root"; device = "mtd6"; size = 94371840; },
                          { name = "boot"; device = "mtd5"; size = 8388608; } );
            images: ( { filename = "root.ubifs"; volume = "root"; type = "ubivol" },
                      { name = "loader"; version = "2020.04"; install-if-different = true;
                        filename = "loader.bin"; device = "mtd0"; type = "flash"; },
                      { filename = "variables"; type = "uboot"; },
                      { filename = "kernel.img"; volume = "boot"; type = "ubivol" } );
            scripts: ( { filename = "before.lua"; type = "lua"; },
                       { filename = "after.lua"; type = "lua"; },
                       { filename = "look.sh"; type = "shellscript"; } );
            uboot: ( { name = "memory"; value = "16M"; },
                     { name = "start"; value = "setenv args ${args} mem=${memory}" } );
          }
        }""",
        lacks=("Lua", "UBI", "raw flash (MTD)"),
    ),
    Example(
        "every section",
        _software("""
            description = "What a press runs";
            partitions: ( { type = "diskformat"; device = "/dev/sda7"; properties: { fstype = "ext4"; }; } );
            images: ( { filename = "root.ext4.gz"; device = "/dev/sda1"; compressed = "zlib"; },
                      { filename = "logo.bmp"; device = "/dev/sda8"; type = "raw"; offset = "64K"; },
                      { filename = "variables"; type = "bootloader"; } );
            files: ( { filename = "NOTES"; path = "/NOTES"; device = "/dev/sda9"; filesystem = "vfat" } );
            scripts: ( { filename = "wipe.sh"; type = "shellscript"; },
                       { filename = "show.sh"; type = "postinstall"; } );
            bootenv: ( { name = "memory"; value = "16M"; },
                       { name = "screen"; value = "setenv args ${args} fb=1:4M,2:4M out=hdmi" } );"""),
    ),
    Example(
        "a type that only a Lua handler would know",
        _software('images: ( { filename = "gates.txt"; type = "gates"; device = "/dev/gates0"; } );'),
        code="description-type",
    ),
    Example(
        "one description for several boards",
        _software("""
            press = { images: ( { filename = "press.img"; device = "/dev/sda2"; } ); };
            lathe = { images: ( { filename = "lathe.img"; device = "/dev/mmcblk1p2"; } ); };"""),
        (("press", ""), ("lathe", "")),
    ),
    Example(
        "a set of two modes",
        _software("""
            stable = {
              left: { images: ( { filename = "root.ext4"; device = "/dev/sda4" } ); }
              right: { images: ( { filename = "root.ext4"; device = "/dev/sda5" } ); }
            };"""),
        _COPIES,
    ),
    Example(
        "a board's own modes before those of all",
        _software("""
            press = { stable = {
              left: { images: ( { filename = "press.ext4"; device = "/dev/sda4" } ); }
              right: { images: ( { filename = "press.ext4"; device = "/dev/sda5" } ); } } }
            stable = {
              left: { images: ( { filename = "any.ext4"; device = "/dev/sda6" } ); }
              right: { images: ( { filename = "any.ext4"; device = "/dev/sda7" } ); } }"""),
        _COPIES,
    ),
    Example(
        "a mode for each revision",
        """
        software = { version = "3.4";
          press = { hardware-compatibility: [ "1.0", "2.0", "2.1" ];
            stable = {
              rev-20: { hardware-compatibility: [ "2.0", "2.1" ];
                        images: ( { filename = "two.ext4"; device = "/dev/sda2" } );
                        scripts: ( { filename = "two.sh"; type = "shellscript"; } ); }
              rev-21: { hardware-compatibility: [ "2.1" ];
                        images: ( { filename = "three.ext4"; device = "/dev/sda2" } );
                        scripts: ( { filename = "three.sh"; type = "preinstall"; } ); } } } }""",
        (("press", "stable,rev-20"), ("press", "stable,rev-21")),
    ),
    Example(
        "revisions that are links to a group of them",
        _software("""
            press = { stable = {
              rev-2x: { images: ( { filename = "two.ext4"; device = "/dev/sda2" } );
                        scripts: ( { filename = "two.sh"; type = "shellscript"; } ); }
              rev-20 = { ref = "#./rev-2x"; }
              rev-21 = { ref = "#./rev-2x"; }
              rev-3x: { images: ( { filename = "three.ext4"; device = "/dev/sda2" } ); }
              rev-30 = { ref = "#./rev-3x"; } } }"""),
        (("press", "stable,rev-20"), ("press", "stable,rev-21"), ("press", "stable,rev-30")),
        lost=("stable,rev-20", "stable,rev-21", "stable,rev-30"),
    ),
    Example(
        "links to a version, to a list, and from a mode to a mode",
        """
        software = { version = { ref = "#./theversion"; }; theversion = "3.4-linked";
          hardware-compatibility = [ "2.0", "2.1" ];
          press: { stable: {
            shared: { images = { ref = "#./../elements"; }; };
            elements: ( { filename = "first.ext4"; device = "/dev/sda8"; type = "raw"; },
                        { filename = "second.ext4"; device = "/dev/sda7"; type = "raw"; } );
            rev10: { images: ( { filename = "root.ext4"; device = "/dev/sda2"; } );
                     uboot: ( { name = "start"; value = "sda2"; } ); };
            rev11 = { ref = "#./rev10"; }
            rev40 = { ref = "#./shared"; } }; }; }""",
        (("press", "stable,rev10"), ("press", "stable,rev11"), ("press", "stable,rev40")),
        lost=("stable,rev11", "stable,rev40"),
    ),
    Example(
        "elements of a list that are links",
        _software("""
            kept: { one: ( { filename = "one.img"; device = "/dev/sda2"; } );
                    more: ( { filename = "two.img"; device = "/dev/sda3"; },
                            { filename = "three.img"; device = "/dev/sda4"; } ); };
            images: ( { ref = "#/software/kept/one"; }, { filename = "own.img"; device = "/dev/sda5"; },
                      { ref = "#/software/kept/more"; } );"""),
    ),
    Example(
        "boot variables of one board and of all others",
        _software("""
            press = { bootenv: ( { name = "start"; value = "sda3"; } ); };
            bootenv: ( { name = "start"; value = "sda2"; } );"""),
        (("press", ""), ("lathe", "")),
    ),
    Example(
        "no marks in the boot environment",
        _software("""
            bootloader_transaction_marker = false; bootloader_state_marker = false; reboot = false;
            images: ( { filename = "root.ext4"; device = "/dev/sda2"; } );"""),
    ),
)


def _part(name: str, text: str, *lacks: str, code: str = "") -> Example:
    """What the documentation shows of one handler."""
    return Example(name, _software(text), lacks=lacks, code=code)


HANDLERS: Final = (
    _part(
        "raw, streamed",
        'images: ( { filename = "root.ext4"; device = "/dev/sda2"; type = "raw"; installed-directly = '
        "true; } );",
    ),
    _part(
        "raw with versions",
        'images: ( { name = "root"; version = "3.4"; install-if-higher = true; filename = '
        '"root.ext4"; device = "/dev/sda2"; } );',
    ),
    _part(
        "an encrypted image",
        'images: ( { filename = "root.enc"; device = "/dev/sda2"; encrypted = true; ivt = '
        '"00112233445566778899aabbccddeeff"; } );',
    ),
    _part(
        "an archive",
        'files: ( { filename = "tree.tar.gz"; type = "archive"; path = "/srv/tree"; '
        "preserve-attributes = true; "
        'properties: { create-destination = "true"; }; } );',
    ),
    _part(
        "a file that is replaced at once",
        'files: ( { filename = "settings"; path = "/etc/press/settings"; properties: { '
        'create-destination = "true"; '
        'atomic-install = "true"; }; } );',
    ),
    _part(
        "a file on a file system",
        'files: ( { filename = "settings"; path = "/settings"; device = "/dev/sda9"; filesystem = '
        '"ext4"; compressed = "zstd"; } );',
    ),
    _part(
        "rdiff_file", 'files: ( { type = "rdiff_file"; filename = "tool.delta"; path = "/usr/bin/tool"; } );'
    ),
    _part(
        "rdiff_image",
        'images: ( { type = "rdiff_image"; filename = "root.delta"; device = "/dev/sda3"; '
        'properties: { rdiffbase = [ "/dev/sda2" ]; }; } );',
    ),
    _part(
        "delta",
        'images: ( { filename = "root.header"; type = "delta"; device = "/dev/sda3"; properties: { '
        'url = "https://files.example.com/root.zck"; chain = "raw"; source = "/dev/sda2"; zckloglevel '
        '= "error"; }; } );',
    ),
    _part(
        "readback",
        'scripts: ( { device = "/dev/sda2"; type = "readback"; properties: { '
        'sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"; size = '
        '"1048576"; offset = "512"; }; } );',
    ),
    _part(
        "rawcopy",
        'scripts: ( { type = "rawcopy"; device = "/dev/sda8"; properties: { type = "postinst"; '
        'copyfrom = "/dev/sda7"; chain = "raw"; size = "detect"; }; } );',
    ),
    _part(
        "copy",
        'scripts: ( { type = "copy"; path = "/srv/kept"; properties: { recursive = "true"; '
        'copyfrom = "/srv/tree"; create-destination = "true"; chain = "rawfile"; type = "preinst"; }; '
        "} );",
    ),
    _part(
        "diskpart, GPT",
        'partitions: ( { type = "diskpart"; device = "/dev/sdb"; properties: { labeltype = "gpt"; '
        'partition-1 = [ "size=32M", "start=2048", "name=root", '
        '"type=0FC63DAF-8483-4772-8E79-3D69D8477DE4" ]; '
        'partition-2 = [ "size=64M", "start=67584", "name=data", "fstype=ext4" ]; }; } );',
    ),
    _part(
        "diskpart, DOS",
        'partitions: ( { type = "diskpart"; device = "/dev/sdb"; properties: { labeltype = "dos"; '
        'partition-1 = [ "size=32M", "start=2048", "type=0x83" ]; partition-2 = [ "size=64M", '
        '"start=67584", "type=0x5" ]; '
        'partition-5 = [ "size=8M", "start=69632", "type=0x6", "fstype=vfat" ]; }; } );',
    ),
    _part(
        "toggleboot",
        'scripts: ( { type = "toggleboot"; device = "/dev/sdb"; properties: { partition = "2"; }; } );',
    ),
    _part(
        "gptpart",
        'images: ( { filename = "loader.bin"; type = "gptpart"; device = "/dev/sdb"; volume = '
        '"loader-b"; offset = "2048"; }, '
        '{ filename = "kernel.bin"; type = "gptpart"; device = "/dev/sdb"; volume = "kernel-b"; } );',
    ),
    _part(
        "gptswap",
        'scripts: ( { type = "gptswap"; device = "/dev/sdb"; properties = { swap-0 = [ "loader-a", '
        '"loader-b" ]; '
        'swap-1 = [ "kernel-a", "kernel-b" ]; }; } );',
    ),
    _part(
        "diskformat",
        'partitions: ( { type = "diskformat"; device = "/dev/sdb3"; properties: { fstype = "vfat"; '
        'force = "true"; }; } );',
    ),
    _part(
        "uniqueuuid",
        'partitions: ( { type = "uniqueuuid"; device = "/dev/sdb"; properties: { fs-uuid = [ '
        '"0e1b2c3d-0000-4000-8000-000000000001", "0e1b2c3d-0000-4000-8000-000000000002" ]; }; } ); '
        'images: ( { filename = "root.ext4"; device = "/dev/sda2"; } );',
    ),
    _part(
        "executor",
        'images: ( { filename = "stream"; type = "executor"; properties: { cmd = "/usr/bin/load"; '
        'parms = "--all"; }; } );',
    ),
    _part("emmc_boot", 'scripts: ( { type = "emmc_boot"; device = "/dev/mmcblk0"; data = "1"; } );'),
    _part(
        "scripts with arguments",
        'scripts: ( { filename = "before.sh"; type = "preinstall"; data = "-a 1"; }, '
        '{ filename = "both.sh"; type = "shellscript"; data = "two"; }, { filename = "behind.sh"; '
        'type = "postinstall"; } );',
    ),
    _part(
        "vars",
        'namespace-for-vars = "press"; vars: ( { name = "lot"; value = "17"; } ); '
        'bootenv: ( { name = "start"; value = "sda3"; } );',
    ),
    _part(
        "ubiswap",
        'images: ( { filename = "root.ext4"; device = "/dev/sda2"; } ); scripts: ( { type = "ubiswap"; '
        'properties: { swap-0 = [ "boot", "boot_new" ]; swap-1 = [ "root", "root_new" ]; }; } );',
        "UBI",
    ),
    _part(
        "UBI volumes that fit their image",
        'images: ( { filename = "loader.img"; device = "mtd1"; volume = "loader_new"; properties: { '
        'auto-resize = "true"; '
        'always-remove = "true"; replaces = "loader"; }; } );',
        "UBI",
    ),
    _part(
        "UBI volumes of unpacked sizes",
        'images: ( { filename = "home.gz"; volume = "home"; compressed = "zlib"; properties: { '
        'decompressed-size = "73400320"; }; } );',
        "UBI",
    ),
    _part(
        "Lua scripts that share what they know",
        'scripts: ( { filename = "one.lua"; type = "lua"; properties: { global-state = "true"; '
        'preinstall = "first"; }; }, '
        '{ filename = "two.lua"; type = "lua"; properties: { global-state = "true"; postinstall = '
        '"second"; '
        'postfailure = "third"; }; } );',
        "Lua",
    ),
    _part(
        "remote",
        'images: ( { filename = "drive.img"; type = "remote"; data = "drive"; } );',
        "handlers in other processes",
    ),
    _part(
        "swuforward",
        'images: ( { filename = "drive.swu"; type = "swuforward"; properties: { url = [ '
        '"http://10.9.8.7:8080", "http://10.9.8.6:8080" ]; }; } );',
        "forwarding to other devices",
    ),
    _part(
        "ucfw",
        'images: ( { filename = "valve.hex"; type = "ucfw"; device = "/dev/ttyS4"; properties: { '
        'reset = "/dev/gpiochip1:4:true"; '
        'prog = "/dev/gpiochip1:5:true"; }; } );',
        "microcontrollers on serial lines",
    ),
    _part(
        "btrfs",
        'partitions: ( { type = "btrfs"; device = "/dev/sdb3"; properties: { command = "create"; path '
        '= "next"; mount = "true"; }; } );',
        "btrfs subvolumes",
    ),
    _part(
        "btrfs-receive",
        'images: ( { filename = "next.btrfs"; type = "btrfs-receive"; device = "/dev/sdb3"; '
        'properties: { path = "/next"; }; } );',
        "btrfs subvolumes",
    ),
    _part(
        "ssblswitch",
        'scripts: ( { type = "ssblswitch"; properties: { device = [ "mtd2", "mtd3" ]; offset = [ "0", '
        '"0" ]; '
        'imageoffs = [ "0x20000", "0x20000" ]; imagesize = [ "0x40000", "0x40000" ]; }; } );',
        "second-stage boot loaders in raw flash",
    ),
    _part(
        "a Docker image",
        'images: ( { filename = "service.tar"; type = "docker_imageload"; installed-directly = true; } );',
        "Docker",
    ),
    _part(
        "an embedded script with a hook",
        'embedded-script = "function choose(image) return true, image end"; '
        'images: ( { filename = "root.ext4"; device = "/dev/sda2"; hook = "choose"; } );',
        code="feature-absent",
    ),
    _part(
        "Lua functions around an image",
        'embedded-script = "function around(image) return true end"; '
        'images: ( { filename = "root.ext4"; device = "/dev/sda2"; preinstall = "around"; postinstall '
        '= "around"; } );',
        code="feature-absent",
    ),
)

EXAMPLES: Final = (*WHOLE, *HANDLERS)
