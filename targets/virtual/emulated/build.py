"""The image of the emulated machine, built once per recipe and kept in the user's cache.

This machine's own apt fetches Debian's packages for arm64, and they are only unpacked: none of their programs runs, so this needs
seconds, and neither root nor emulation. Files belong to root in the image because it is written under `fakeroot`.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from targets.errors import EmulatorUnavailable
from targets.folders import cache_folder
from targets.host import sync
from targets.virtual.emulated import initrd, recipe

PROGRAMS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "fakeroot": "fakeroot",
    "mke2fs": "e2fsprogs",
    "depmod": "kmod",
    "ssh-keygen": "openssh-client",
}
"""The programs that build it, and their Debian packages."""

SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # not on an ordinary user's PATH
OS_RELEASE = Path("/etc/os-release")
MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
NEEDED_BYTES = 1 << 30  # during the build; measured: 0.5 GB, and 0.25 GB afterwards
UNPACK_LIMIT_S = 3600  # 80 MB over a slow line
STEP_LIMIT_S = 300
LOCK_POLL_S = 0.2

Say = Callable[[str], None]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A built image: a folder with the recipe's name."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.gz"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.ext4"

    @property
    def user_key(self) -> Path:
        return self.folder / "user_key"

    @property
    def host_key(self) -> str:
        """The machine's public key: type and base64, as in a known_hosts file."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])


def home() -> Path:
    """Return the folder of the emulated machine."""
    return cache_folder() / "virtual-aarch64"


def program(name: str) -> str:
    """Return the path of one of PROGRAMS. EmulatorUnavailable names all missing packages, not only this one's."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    found = {each: shutil.which(each, path=path) for each in PROGRAMS}
    missing = [each for each, where in found.items() if where is None]
    if missing:
        raise EmulatorUnavailable(
            f"this machine lacks programs that build the emulated board: {', '.join(missing)}",
            hint="Install as root: apt-get install --no-install-recommends "
            + " ".join(sorted({PROGRAMS[each] for each in missing})),
        )
    return str(found[name])


@contextlib.contextmanager
def locked(say: Say) -> Iterator[None]:
    """Hold the user's lock for building, starting and stopping. The kernel releases it if this process is killed."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / "lock").open("w") as lock:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say("another edgepress is building or starting the emulated board; waiting for it")
                    told = True
                time.sleep(LOCK_POLL_S)
        yield


def image(say: Say) -> Image:
    """Return the image of the present recipe, built if it is missing. Call it with the lock held.

    EmulatorUnavailable: a program is missing, this is not Debian, the disk is full, or a step failed.
    """
    wanted = home() / "images" / recipe.name(_release())
    if wanted.exists():
        return Image(folder=wanted)
    program("mmdebstrap")
    wanted.parent.mkdir(exist_ok=True)
    for left in wanted.parent.iterdir():  # from an older recipe, or an interrupted build: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    free = shutil.disk_usage(wanted.parent).free
    if free < NEEDED_BYTES:
        raise EmulatorUnavailable(
            f"building the emulated board needs {NEEDED_BYTES >> 20} MiB, {wanted.parent} has {free >> 20} MiB free",
            hint="Free space there, or name another folder in XDG_CACHE_HOME.",
        )
    scratch = Path(tempfile.mkdtemp(dir=wanted.parent, prefix=".build-"))
    try:
        began = time.monotonic()
        _build(scratch, say)
        scratch.rename(wanted)
        sync(wanted.parent)
        say(f"the image was built in {time.monotonic() - began:.0f} s; it is kept in {wanted}")
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Image(folder=wanted)


def _build(folder: Path, say: Say) -> None:
    root = folder / "root"
    say("fetching and unpacking Debian's packages for arm64 (about 80 MB, once)")
    excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.LEFT_OUT]
    _run(
        [program("fakeroot"), program("mmdebstrap"), "--mode=chrootless", "--variant=extract", "--arch=arm64",
         "--format=directory", f"--hook-dir={MERGED_USR}", f"--include={','.join(recipe.PACKAGES)}", *excludes,
         '--aptopt=APT::Install-Recommends "false"', _release(), str(root), *map(str, _sources())], UNPACK_LIMIT_S,
    )  # fmt: skip
    say("writing its keys, settings and initrd")
    for key in ("user_key", "host_key"):
        _run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "virtual-aarch64", "-f", str(folder / key)])
    recipe.customise(root, (folder / "user_key.pub").read_text(), (folder / "host_key").read_text())
    _compile(root)
    modules = next((root / "usr/lib/modules").iterdir())
    _run([program("depmod"), "--basedir", str(root), modules.name])
    image = Image(folder=folder)
    image.initrd.write_bytes(initrd.initrd(root))
    next((root / "boot").glob("vmlinuz-*")).rename(image.kernel)
    say("writing its disk")
    # The kernel's lazy initialization would write during measurements.
    _run(
        [program("fakeroot"), program("mke2fs"), "-q", "-t", "ext4", "-L", "root", "-d", str(root),
         "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image.disk), f"{recipe.DISK_BYTES >> 10}k"],
    )  # fmt: skip
    shutil.rmtree(root)
    for path in (*folder.iterdir(), folder):
        sync(path)


def _compile(root: Path) -> None:
    """Compile Python's library, as its installation would: else every start there compiles it again.

    Only the same version of Python can do that; if this machine has another, the emulated one starts more slowly.
    """
    for library in (root / "usr/lib").glob("python3.*"):
        same = shutil.which(library.name)
        if same is not None:
            options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/"]
            _run([same, "-I", "-m", "compileall", *options, str(library)])


def _release() -> str:
    """Return the code name of this Debian, whose packages apt can fetch."""
    lines = OS_RELEASE.read_text().splitlines() if OS_RELEASE.exists() else []
    facts = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    if facts.get("ID") != "debian" or "VERSION_CODENAME" not in facts:
        raise EmulatorUnavailable(
            f"the emulated board is built from Debian's packages, and this is {facts.get('PRETTY_NAME', 'not Debian')}",
            hint="Run it on Debian, possibly in a container: it needs neither root nor KVM.",
        )
    return facts["VERSION_CODENAME"]


def _sources() -> list[Path]:
    """Return the sources of this machine's apt."""
    etc = Path("/etc/apt")
    found = [
        etc / "sources.list",
        *sorted(etc.glob("sources.list.d/*.list")),
        *sorted(etc.glob("sources.list.d/*.sources")),
    ]
    return [path for path in found if path.exists() and path.stat().st_size > 0]


def _run(command: Sequence[str], limit_s: float = STEP_LIMIT_S) -> None:
    """Run in its own process group, so that its children end with it. EmulatorUnavailable says how it ended."""
    name = Path(command[0] if "fakeroot" not in command[0] else command[1]).name
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(limit_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            code = None
        output.seek(0)
        printed = output.read().decode(errors="replace").strip()
    if code != 0:
        ended = f"had not ended after {limit_s:.0f} s" if code is None else f"ended with exit code {code}"
        raise EmulatorUnavailable(
            f"building the emulated board: {name} {ended}; it said: {printed[-1500:] or 'nothing'}",
            hint="If packages could not be fetched: does `apt-get update` work here? Then run again; no partial build is kept.",
        )
