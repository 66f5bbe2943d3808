"""The main job, start to end, with real images: build a signed delta package, install it, break things.

make demo
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lab
from lab import Lab, megabytes

IMAGES = lab.BUILD / "images/demo"
DAMAGED_BLOCKS = 20
BLOCK = 4096  # bytes


def main() -> None:
    v1, v2 = IMAGES / "v1.ext4", IMAGES / "v2.ext4"
    device = Lab(lab.BUILD / "demo", v1.stat().st_size)
    with device.running():
        say("The vendor builds both releases: `otapack build`, signed, one .zck each to publish.")
        with ThreadPoolExecutor() as pool:
            packages = list(pool.map(device.build, ("1.0", "2.0"), (v1, v2)))
        update = packages[1]
        say(f"  {update.name}: {megabytes(update.stat().st_size)}; image: {megabytes(v2.stat().st_size)}")

        say("\nA device comes from the factory with release 1.0 in slot a; `ota adopt` tells the agent so.")
        factory(device, v1)
        say("What would the update cost? `ota plan` knows before the first byte of it is fetched.")
        planned = device.ota("plan", update)
        check(planned.status == 0, planned.errors)

        say("`ota install`: over HTTPS, by byte ranges, into slot b; then all of it is read back and proved.")
        installed = device.ota("install", update, shown=True)
        check(installed.status == 0, installed.output)
        check(lab.same_start(device.slots[1], v2), "slot b is not release 2.0")
        check("boot_slot=b" in (device.folder / "bootenv").read_text(), "the boot loader was not switched")
        say("Slot b holds release 2.0, byte for byte, and the boot loader was told to start it.\n")
        table(planned.answer, installed.answer, v2)

        say(f"\nNow {DAMAGED_BLOCKS} blocks of the running slot rot, and the same update is installed again.")
        factory(device, v1)
        damage(device.slots[0])
        damaged = device.ota("install", update)
        check(damaged.status == 0, damaged.output)
        check(lab.same_start(device.slots[1], v2), "slot b is not release 2.0")
        more = number(damaged.answer, "fetched_bytes") - number(planned.answer, "fetched_bytes")
        say(
            f"  It ends right: what was damaged was noticed and fetched, {megabytes(more)} more than planned."
        )

        say("\nSomebody changes one byte of the package.")
        tampered = device.folder / "tampered.swu"
        shutil.copy(update, tampered)
        flip(tampered, tampered.stat().st_size // 2)
        refused = device.ota("install", tampered)
        check(refused.status != 0, "the tampered package was installed")
        say(f"  {refused.errors.strip()}")
        say(f"  Exit status {refused.status}; slots and boot environment are as they were.")


def factory(device: Lab, image: Path) -> None:
    """Release 1.0 in slot a, known to the agent; slot b empty."""
    device.forget()
    device.fill(0, image)
    device.empty(1)
    adopted = device.ota("adopt", "a", device.publish / "rootfs-1.0.zck", "--version", "1.0")
    check(adopted.status == 0, adopted.errors)


def damage(slot: Path) -> None:
    """Turn random blocks of a slot into noise."""
    chance = random.Random(1)
    with slot.open("r+b") as file:
        blocks = os.lseek(file.fileno(), 0, os.SEEK_END) // BLOCK
        for block in chance.sample(range(blocks), DAMAGED_BLOCKS):
            file.seek(block * BLOCK)
            file.write(chance.randbytes(BLOCK))


def flip(path: Path, offset: int) -> None:
    """Flip one bit."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def table(planned: dict[str, object], installed: dict[str, object], image: Path) -> None:
    """Foreseen and counted, side by side, and against a full image."""
    size = image.stat().st_size
    rows = [
        [what, megabytes(planned[key]), megabytes(installed[key]), f"{number(installed, key) / size:.1%}"]
        for what, key in (
            ("fetched from the server", "fetched_bytes"),
            ("already in the slot, kept", "kept_bytes"),
            ("copied from the running slot", "copied_bytes"),
            ("zeros", "zero_bytes"),
            ("written", "written_bytes"),
            ("read back and proved", "verified_bytes"),
        )
    ]
    rows.append(["requests", str(planned["requests"]), str(installed["requests"]), ""])
    rows.append(["CPU", "", f"{installed['cpu_s']} s", ""])
    rows.append(["peak memory", "", megabytes(installed["peak_rss_bytes"]), ""])
    lab.print_table("Release 1.0 -> 2.0", ["", "planned", "measured", "of the full image"], rows)


def number(answer: dict[str, object], key: str) -> int:
    value = answer[key]
    assert isinstance(value, int)
    return value


def say(text: str) -> None:
    print(text, flush=True)


def check(holds: bool, complaint: str) -> None:
    if not holds:
        sys.exit(f"demo: {complaint}")


if __name__ == "__main__":
    main()
