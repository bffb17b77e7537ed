"""The image: built once, whole or not at all, with stubs in the place of what fetches and writes it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from targets.errors import EmulatorUnavailable
from targets.virtual.emulated import build, recipe

STUBS = {
    "fakeroot": 'exec "$@"',
    "mmdebstrap": """
echo >> "$CALLS/mmdebstrap"
for word; do case $word in */root) root=$word; break;; esac; done
mkdir -p $root/boot $root/etc/apt $root/etc/ssh $root/usr/bin $root/usr/sbin $root/usr/local/sbin $root/root
mkdir -p $root/usr/lib/modules/6.1.0 $root/usr/share/base-passwd
echo "root:*:0:0:root:/root:/bin/bash" > $root/usr/share/base-passwd/passwd.master
echo "root:*:0:" > $root/usr/share/base-passwd/group.master
echo the kernel > $root/boot/vmlinuz-6.1.0
echo busybox > $root/usr/bin/busybox
echo "deb http://192.0.2.1/ x main" > $root/etc/apt/sources.list
ln -s /etc/hostname $root/etc/hostname
""",
    "depmod": """
cd "$2/usr/lib/modules/$3"
for each in virtio_mmio virtio_blk virtio_net; do echo $each > $each.ko; echo "$each.ko:" >> modules.dep; done
""",
    "ssh-keygen": 'while [ "$1" != -f ]; do shift; done; echo secret > $2; echo "ssh-ed25519 AAAA x" > $2.pub',
    "mke2fs": 'cp -r "$7" "$CALLS/tree"; echo "the disk" > "${10}"',
    "qemu-img": "",
    "qemu-system-aarch64": "",
}
BUILD = """
import sys
from targets.virtual.emulated import build
with build.locked(print):
    print(build.image(lambda text: print(text, flush=True)).folder)
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """The stubs, first in PATH; they note that they were called in the folder that is returned."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in STUBS.items():
        (folder / name).write_text(f"#!/bin/sh\nset -e\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path))
    monkeypatch.setattr(build, "_release", lambda: "bookworm")
    monkeypatch.setattr(build, "_compile", lambda _: None)
    return tmp_path


def built():
    told = []
    with build.locked(print):
        return build.image(told.append), told


def images():
    return sorted(path.name for path in (build.home() / "images").iterdir())


def test_it_is_built_once_and_has_all_its_parts(tools):
    image, told = built()
    assert image.kernel.read_text() == "the kernel\n"
    assert image.disk.read_text() == "the disk\n"
    assert image.initrd.read_bytes()[:2] == b"\x1f\x8b"
    assert image.host_key == "ssh-ed25519 AAAA"
    assert told
    assert images() == [image.folder.name]
    assert built() == (image, [])
    assert (tools / "mmdebstrap").read_text() == "\n"


def test_what_the_packages_scripts_would_have_made_is_there(tools):
    built()
    tree = tools / "tree"
    assert "edge:*:1000:1000::/home/edge:/bin/bash" in (tree / "etc/passwd").read_text()
    assert (tree / "etc/shadow").stat().st_mode & 0o777 == 0o600
    assert all(line.split(":")[1] == "*" for line in (tree / "etc/shadow").read_text().splitlines())  # no password
    for home in ("root", "home/edge"):
        assert (tree / home / ".ssh").stat().st_mode & 0o777 == 0o700
        assert (tree / home / ".ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA x\n"
    assert "PasswordAuthentication no" in (tree / "etc/ssh/sshd_config").read_text()
    assert (tree / "etc/ssh/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert os.access(tree / "usr/local/sbin/boot", os.X_OK)
    assert (tree / "usr/sbin/init").readlink() == Path("../bin/busybox")


def test_nothing_of_this_machine_gets_into_it_or_is_written_by_it(tools):
    before = Path("/etc/hostname").read_bytes() if Path("/etc/hostname").exists() else None
    built()
    tree = tools / "tree"
    assert not (tree / "etc/apt/sources.list").exists()
    assert (tree / "etc/hostname").read_text() == "virtual-aarch64\n"  # it was a link to this machine's own
    if before is not None:
        assert Path("/etc/hostname").read_bytes() == before


@pytest.mark.parametrize("step", ["mmdebstrap", "ssh-keygen", "depmod", "mke2fs"])
def test_a_step_that_fails_is_told_and_leaves_nothing(tools, step):
    (tools / "bin" / step).write_text("#!/bin/sh\necho it went wrong >&2\nexit 7\n")
    with pytest.raises(EmulatorUnavailable, match=rf"{step} ended with exit code 7; it said: it went wrong"):
        built()
    assert images() == []


@pytest.mark.parametrize("step", ["mmdebstrap", "depmod", "mke2fs"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_was_stopped_is_never_taken_for_an_image(tools, step, number):
    stub = (tools / "bin" / step).read_text()
    (tools / "bin" / step).write_text(f"{stub}\ntouch $CALLS/here\nsleep 60\n")
    process = subprocess.Popen([sys.executable, "-c", BUILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tools / "here").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert all(name.startswith(".build-") for name in images())
    if number == signal.SIGINT:
        assert images() == []
    (tools / "bin" / step).write_text(stub.replace("cp -r", "cp -rT"))
    image, _ = built()
    assert images() == [image.folder.name]
    assert image.disk.read_text() == "the disk\n"


def test_two_builds_at_once_make_one_image(tools):
    (tools / "bin/mke2fs").write_text("#!/bin/sh\nsleep 1\n" + STUBS["mke2fs"])
    run = [sys.executable, "-c", BUILD]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert told[0][-1] == told[1][-1]
    assert (tools / "mmdebstrap").read_text() == "\n"
    assert sum("waiting for it" in line for lines in told for line in lines) == 1


def test_another_recipe_is_built_anew_and_the_old_image_goes(tools, monkeypatch):
    first, _ = built()
    monkeypatch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "gdb"))
    second, _ = built()
    assert first.folder != second.folder
    assert images() == [second.folder.name]


def test_the_name_depends_on_all_that_it_is_made_of(monkeypatch):
    names = {recipe.name("bookworm"), recipe.name("trixie")}
    for attribute, value in (
        ("PACKAGES", ("bash",)),
        ("FILES", {}),
        ("DISK_BYTES", 1),
        ("LINKS", {}),
        ("LEFT_OUT", ()),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(recipe, attribute, value)
            names.add(recipe.name("bookworm"))
    assert len(names) == 7
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Write into the unpacked", "Put into the unpacked", True),
        ("# may be a link to outside `root`", "# in other words", True),
        ("0o700", "0o755", False),
    ],
)
def test_the_name_depends_on_the_code_and_not_on_its_wording(monkeypatch, old, new, same):
    before, source_of = recipe.name("bookworm"), recipe.inspect.getsource
    assert old in source_of(recipe.customise)
    monkeypatch.setattr(recipe.inspect, "getsource", lambda thing: source_of(thing).replace(old, new))
    assert (recipe.name("bookworm") == before) is same


def test_no_room_is_said_before_anything_is_fetched(tools, monkeypatch):
    monkeypatch.setattr(build, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(EmulatorUnavailable, match="MiB free"):
        built()
    assert not (tools / "mmdebstrap").exists()


@pytest.mark.parametrize("text", ['ID=ubuntu\nPRETTY_NAME="Ubuntu 24.04"\n', "", None])
def test_what_is_no_debian_is_told_what_is_needed(tmp_path, monkeypatch, text):
    monkeypatch.setattr(build, "OS_RELEASE", tmp_path / "os-release")
    if text is not None:
        build.OS_RELEASE.write_text(text)
    with pytest.raises(EmulatorUnavailable, match="Ubuntu 24.04" if text else "not Debian") as caught:
        build._release()
    assert "Debian" in caught.value.hint


def test_a_step_without_end_is_ended_with_all_that_it_started(tools):
    began = time.monotonic()
    with pytest.raises(EmulatorUnavailable, match="had not ended after 1 s"):
        build._run(["/bin/sh", "-c", f"echo $$ > {tools}/pid; sleep 600 & wait"], 1)
    assert time.monotonic() - began < 30
    group = int((tools / "pid").read_text())
    time.sleep(0.2)
    members = [path.parent for path in Path("/proc").glob("[0-9]*/stat") if _group(path) == group]
    assert members == []


def _group(path):
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[2]) if fields[0] != "Z" else None


def test_the_script_for_debian_installs_all_that_is_needed():
    script = (Path(__file__).parents[4] / "scripts/debian_packages").read_text()
    listed = dict(line.split() for line in script.partition("<<'END'\n")[2].partition("\nEND\n")[0].splitlines())
    assert listed.items() >= build.PROGRAMS.items()
