"""The text that the host sends as `python3 -I -c ...`: starts the agent of a given hash; installs it first if it is absent.

Reads one JSON line {"root", "sha256", "size_bytes"}; says HAVE, or NEED and then takes size_bytes of zip; becomes the agent.
Or says FAIL {"error", "message"} and ends with 1. It reads nothing ahead: what follows belongs to the agent.
"""

import errno, fcntl, hashlib, io, json, os, re, shutil, sys, tempfile, typing, zipfile  # noqa: E401, I001 - few lines

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


def install(agent: str, tmp: str, data: bytes) -> None:
    fcntl.flock(os.open(tmp, os.O_RDONLY), fcntl.LOCK_EX)  # the mutex of tmp/ (place.py); free again at exec or exit
    work = tempfile.mkdtemp(prefix="boot-", dir=tmp)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if not re.match(r"(\w[\w.-]*/)*\w[\w.-]*\Z", name, re.ASCII):
                    fail("bad_upload", "unsafe name %r in the agent" % name)
                sync(archive.extract(name, work))
        for folder, _, _ in os.walk(work):
            sync(folder)
        if not os.path.isdir(agent):  # else another host was quicker
            os.rename(work, agent)
        sync(os.path.dirname(agent))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main() -> None:
    if sys.version_info < (3, 8):
        fail("old_python", "the agent needs Python 3.8 or newer, this is " + sys.version.split()[0])
    request = json.loads(b"".join(iter(lambda: read(1), b"\n")).decode())
    root, sha256 = os.path.abspath(os.path.expanduser(request["root"])), request["sha256"]
    agent, tmp = os.path.join(root, "agents", sha256), os.path.join(root, "tmp")
    if not os.path.isdir(agent):
        for folder in (os.path.dirname(agent), tmp):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        say("NEED")
        data = read(request["size_bytes"])
        if hashlib.sha256(data).hexdigest() != sha256:
            fail("bad_upload", "the bytes are not the agent that was announced")
        install(agent, tmp, data)
    else:
        say("HAVE")
    os.execv(sys.executable, [sys.executable, "-I", agent, root])  # noqa: S606 - a list


try:
    main()
except OSError as error:
    fail(ERRORS.get(error.errno or 0, "internal"), error)
except Exception as error:
    fail("bad_upload" if isinstance(error, zipfile.BadZipFile) else "internal", repr(error))
