"""The first file system that the kernel sees: one static program, the drivers of disk and network, and what to do with them.

Debian's own tool for this runs programs of the foreign architecture; this is written here instead. Format: "newc" of cpio,
Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel.
"""

import gzip
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

DRIVERS = (
    "virtio_mmio",
    "virtio_blk",
    "virtio_net",
)  # modules in Debian's cloud kernel; ext4 and the console are built in
APPLETS = ("sh", "mount", "insmod", "switch_root", "sleep")

INIT = """\
#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for driver in {drivers}; do insmod /drivers/$driver; done
while [ ! -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 -o rw,noatime /dev/vda /newroot || exec sh
for each in dev proc sys; do mount --move /$each /newroot/$each; done
exec switch_root /newroot /sbin/init
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    mode: int  # type and permissions
    data: bytes = b""  # of a link: where it points
    device: tuple[int, int] = (0, 0)


def initrd(root: Path) -> bytes:
    """For the one kernel whose modules are in the unpacked file system `root`. `depmod` must have run on it."""
    modules = next((root / "usr/lib/modules").iterdir())
    drivers = [modules / path for path in in_order(DRIVERS, (modules / "modules.dep").read_text())]
    folders = ("bin", "dev", "drivers", "newroot", "proc", "sys")
    busybox = (root / "usr/bin/busybox").read_bytes()
    init = INIT.format(drivers=" ".join(path.name for path in drivers)).encode()
    entries = [
        *(Entry(name=name, mode=stat.S_IFDIR | 0o755) for name in folders),
        Entry(name="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1)),
        Entry(name="bin/busybox", mode=stat.S_IFREG | 0o755, data=busybox),
        *(Entry(name=f"bin/{name}", mode=stat.S_IFLNK | 0o777, data=b"busybox") for name in APPLETS),
        *(Entry(name=f"drivers/{path.name}", mode=stat.S_IFREG | 0o644, data=path.read_bytes()) for path in drivers),
        Entry(name="init", mode=stat.S_IFREG | 0o755, data=init),
    ]
    return gzip.compress(b"".join(cpio(entries)), 6, mtime=0)


def in_order(drivers: Iterable[str], modules_dep: str) -> list[str]:
    """The files of these modules and of all that they need, in the order in which they can be loaded."""
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in modules_dep.splitlines())}
    by_name = {re.sub(r"\.ko.*", "", path.rpartition("/")[2]).replace("-", "_"): path for path in needs}
    # modules.dep names the nearest need first, the one that itself needs nothing last
    every = [path for name in drivers for path in (*reversed(needs[by_name[name]]), by_name[name])]
    return list(dict.fromkeys(every))


def cpio(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive, piece by piece. Everything in it belongs to root."""
    for number, entry in enumerate((*entries, Entry(name="TRAILER!!!", mode=0)), start=1):
        name = entry.name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        yield head + bytes(-len(head) % 4) + entry.data + bytes(-len(entry.data) % 4)
