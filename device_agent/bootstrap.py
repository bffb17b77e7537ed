"""The text that the host sends as `python3 -I -S -c ...`: becomes the agent of a given hash; installs it first if it is absent.

Reads one JSON line {"root", "sha256", "size_bytes"}; says HAVE, or NEED and then takes size_bytes of zip; becomes the agent.
Or says FAIL {"error", "message"} and ends with 1. It reads nothing ahead: what follows belongs to the agent. Imports are few,
and -S leaves site out, because the first answer waits for all of it.
"""

import errno, fcntl, json, os, sys, typing  # noqa: E401, I001 - few lines

ERRORS = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "no_space")
ERRORS.update(dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST), "not_writable"))


def say(text: str) -> None:
    os.write(1, ("\n--edgepress-boot-1-- %s\n" % text).encode())


def fail(error: str, message: object) -> typing.NoReturn:
    say("FAIL " + json.dumps({"error": error, "message": str(message)}))
    sys.exit(1)


def read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(0, min(size - len(data), 65536)) or fail("bad_upload", "the input ended too early")
    return data


def sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def hold(agent: str) -> bool:
    """Whether the agent is there, and stays: a shared lock on its folder keeps others from collecting it (place.py)."""
    try:
        descriptor = os.open(agent, os.O_RDONLY)
    except FileNotFoundError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return os.path.isdir(agent)


def install(agent: str, tmp: str, data: bytes) -> None:
    import compileall
    import io
    import re
    import shutil
    import tempfile
    import zipfile

    lock = os.open(tmp, os.O_RDONLY)  # the mutex of tmp/ (place.py)
    fcntl.flock(lock, fcntl.LOCK_EX)
    work = tempfile.mkdtemp(prefix="boot-", dir=tmp)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if not re.match(r"(\w[\w.-]*/)*\w[\w.-]*\Z", name, re.ASCII):
                    fail("bad_upload", "unsafe name %r in the agent" % name)
                archive.extract(name, work)
        compileall.compile_dir(work, quiet=2, ddir=agent)
        for folder, _, names in os.walk(work):
            for each in (*names, "."):
                sync(os.path.join(folder, each))
        if not os.path.isdir(agent):  # else another host was quicker
            os.rename(work, agent)
        sync(os.path.dirname(agent))
    except zipfile.BadZipFile as error:
        fail("bad_upload", error)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def prepare() -> str:
    """The agent is there, can be imported and stays. The root."""
    if sys.version_info < (3, 8):
        fail("old_python", "the agent needs Python 3.8 or newer, this is " + sys.version.split()[0])
    request = json.loads(b"".join(iter(lambda: read(1), b"\n")).decode())
    root, sha256 = os.path.abspath(os.path.expanduser(request["root"])), request["sha256"]
    agent, tmp = os.path.join(root, "agents", sha256), os.path.join(root, "tmp")
    if hold(agent):
        say("HAVE")
    else:
        import hashlib

        for folder in (os.path.dirname(agent), tmp):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        say("NEED")
        data = read(request["size_bytes"])
        if hashlib.sha256(data).hexdigest() != sha256:
            fail("bad_upload", "the bytes are not the agent that was announced")
        install(agent, tmp, data)
        hold(agent)
    sys.path.insert(0, agent)
    return str(root)


try:
    root = prepare()
except OSError as error:
    fail(ERRORS.get(error.errno or 0, "internal"), error)
except (KeyError, TypeError, ValueError) as error:
    fail("internal", repr(error))

from device_agent.__main__ import main  # noqa: E402 - of the agent that was prepared

main(root)
