"""The first file system of the emulated machine, read by cpio."""

import shutil
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.virtual.emulated.initrd import Entry, cpio, in_order

DEP = """\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net-failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net-failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
"""

names = st.from_regex(r"[a-z]{1,12}(/[a-z]{1,12})?", fullmatch=True)
entries = st.lists(
    st.builds(
        Entry,
        name=names,
        mode=st.integers(0, 0o777).map(lambda mode: stat.S_IFREG | mode),
        data=st.binary(max_size=200),
    )
)


def parsed(archive):
    """(name, mode, data) of each entry, by the letter of the format: fields of 8 hexadecimal digits, all padded to 4 bytes."""
    at, found = 0, []
    while True:
        head = archive[at : at + 110]
        assert head[:6] == b"070701"
        fields = [int(head[6 + 8 * index : 14 + 8 * index], 16) for index in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        at += 110 + name_size
        at += -at % 4
        if name == b"TRAILER!!!\0":
            assert at == len(archive)
            return found
        found.append((name[:-1].decode(), fields[1], archive[at : at + size]))
        at += size + -size % 4


@given(entries)
def test_what_is_written_can_be_read(made):
    assert parsed(b"".join(cpio(made))) == [(each.name, each.mode, each.data) for each in made]


def test_cpio_itself_unpacks_it(tmp_path):
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    made = [
        Entry(name="bin", mode=stat.S_IFDIR | 0o755),
        Entry(name="bin/busybox", mode=stat.S_IFREG | 0o755, data=b"program"),
        Entry(name="bin/sh", mode=stat.S_IFLNK | 0o777, data=b"busybox"),
    ]
    archive = b"".join(cpio(made))
    subprocess.run(["cpio", "-i", "--quiet"], input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "bin/sh").read_bytes() == b"program"
    assert (tmp_path / "bin/sh").is_symlink()
    assert (tmp_path / "bin/busybox").stat().st_mode == stat.S_IFREG | 0o755
    listing = subprocess.run(["cpio", "-tv", "--quiet"], input=archive, check=True, capture_output=True).stdout.decode()
    assert all(line.split()[2:4] == ["root", "root"] for line in listing.splitlines())


def test_a_driver_is_loaded_after_all_that_it_needs():
    loaded = [path.rpartition("/")[2] for path in in_order(["virtio_blk", "virtio_net"], DEP)]
    assert loaded == [
        "virtio_ring.ko",
        "virtio.ko",
        "virtio_blk.ko",
        "failover.ko",
        "net-failover.ko",
        "virtio_net.ko.xz",
    ]


def test_a_driver_that_the_kernel_does_not_have_is_an_error():
    with pytest.raises(KeyError):
        in_order(["virtio_gpu"], DEP)
