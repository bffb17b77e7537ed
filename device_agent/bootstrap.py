"""The text that the host sends as `python3 -I -S -c ...`: it becomes the agent of a given hash, and installs it if absent or changed.

It reads one JSON line {"root", "sha256", "size_bytes"} and not a byte more; prints HAVE, or NEED (NEED DAMAGED) and reads size_bytes of
zip, or prints FAIL {"error", "message"} and exits with 1. The first answer waits for it, so imports are few. Code runs only from folders
that only this user and root can write to, and only if all files there are what was installed: the seal is a hash of them all.
"""

import errno, fcntl, json, os, stat, sys  # noqa: E401, I001 - few lines

TYPE_CHECKING = False  # record.py says why
if TYPE_CHECKING:
    from typing import NoReturn

ERRORS = dict.fromkeys((errno.ENOSPC, errno.EFBIG), "no_space")
ERRORS.update(dict.fromkeys((errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST), "not_writable"))
ERRORS.update({errno.EROFS: "read_only", errno.EDQUOT: "quota", errno.ENOENT: "no_home"})
SEAL = ".sealed-" + str(sys.implementation.cache_tag)  # another Python has other .pyc files
MOST_BYTES = 1 << 18
LEAST_INODES = 500  # for a new root
OTHERS = stat.S_IWGRP | stat.S_IWOTH
OURS = ("agents", "blobs", "jobs", "partial", "sites", "tmp", "lock", "tuned.json")


def say(text: str) -> None:
    os.write(1, ("\n--edgepress-boot-1-- %s\n" % text).encode())


def fail(error: str, message: object) -> "NoReturn":
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


def guard(root: str) -> None:
    """Fail if others could write into this folder or one of its folders, or replace it."""
    guard_way(root, os.geteuid())
    for entry in os.scandir(root):
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode) and info.st_uid == os.geteuid():
            guard_way(os.path.realpath(entry.path), os.geteuid())
        elif info.st_uid != os.geteuid() or is_open(entry.path, info):
            unsafe(entry.path, info)


def guard_way(path: str, *owners: int) -> None:
    """Require that each folder on the path is root's or ours and writable by no one else, or sticky (/tmp)."""
    info = os.stat(path)
    is_shared = not owners and info.st_mode & stat.S_ISVTX
    if info.st_uid not in (owners or (0, os.geteuid())) or (is_open(path, info) and not is_shared):
        unsafe(path, info)
    if path != os.path.dirname(path):
        guard_way(os.path.dirname(path))


def is_open(path: str, info: os.stat_result) -> bool:
    """Whether others may write. A user's private group does not count as others; the group bit also reflects ACLs."""
    if info.st_mode & OTHERS != stat.S_IWGRP:
        return bool(info.st_mode & OTHERS)
    import grp, pwd  # noqa: E401, I001 - few lines

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(info.st_gid)
        has_acl = "system.posix_acl_access" in os.listxattr(path, follow_symlinks=False)
    except (KeyError, OSError):
        return True
    names = {*group.gr_mem, *(each.pw_name for each in pwd.getpwall() if each.pw_gid == group.gr_gid)}
    return has_acl or (user.pw_gid, {user.pw_name}) != (group.gr_gid, {group.gr_name, *names})


def unsafe(path: str, info: os.stat_result) -> "NoReturn":
    what = "can be written to by others" if is_open(path, info) else "belongs to the user %d" % info.st_uid
    fail("unsafe", "%s %s (mode %o); the agent runs as the user %d" % (path, what, info.st_mode & 0o7777, os.geteuid()))


def prepare_root(root: str) -> None:
    """Make the root and its folders (files/layout.py); fail if they are unsafe or unusable."""
    there = root
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    room = os.statvfs(there)
    for flag, error in ((os.ST_NOEXEC, "noexec"), (os.ST_RDONLY, "read_only")):
        if room.f_flag & flag:
            fail(error, root)
    if there != root and room.f_files and room.f_favail < LEAST_INODES:
        fail("no_inodes", "%s: %d inodes are free, and a runtime has a thousand files or more" % (root, room.f_favail))
    guard(root) if there == root else guard_way(there)
    for name in {*OURS} & {*os.listdir(root)} if there == root and "agents" not in os.listdir(root) else ():
        if not os.path.isdir(root + "/" + name) or os.listdir(root + "/" + name):
            fail("foreign", root + "/" + name)  # in a home it would be mistaken for what files/layout.py makes
    for name in OURS[:6]:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    if there != root:
        guard(root)


def why(error: OSError, root: str) -> str:
    room = os.statvfs(root if os.path.isdir(root) else "/")
    out_of_inodes = error.errno == errno.ENOSPC and room.f_files and not room.f_favail
    return "no_inodes" if out_of_inodes else ERRORS.get(error.errno or 0, "internal")


def sealed(agent: str) -> str:
    """A hash of every name and content there, so that nothing can be added either."""
    from _blake2 import blake2b  # part of Python: a third of the time of SHA-256, and without the OpenSSL of hashlib

    found, content = blake2b(), memoryview(bytearray(MOST_BYTES))
    for folder, folders, names in os.walk(agent):
        folders.sort()
        names.sort()
        found.update(repr((folder[len(agent) :], folders, names)).encode())
        for name in names:
            if name != SEAL:
                descriptor = os.open(folder + "/" + name, os.O_RDONLY | os.O_NOFOLLOW)
                size = os.readv(descriptor, [content])
                os.close(descriptor)
                found.update(b"%d:" % size)
                found.update(content[:size])
                if size == len(content):
                    return "a file is longer than any of the agent"
    return str(found.hexdigest())


def hold(agent: str) -> str:
    """HAVE, or why not. A shared lock on the agent's folder keeps others from removing it (files/layout.py)."""
    if not os.path.lexists(agent):
        return "NEED"  # not checked again below: another host may be installing it now
    try:
        descriptor = os.open(agent, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        info, names = os.fstat(descriptor), os.listdir(agent)
        if SEAL not in names and any(name.startswith(".sealed-") for name in names):
            return "NEED"  # sealed by another Python
        with open(os.path.join(agent, SEAL)) as file:
            if info.st_uid == os.geteuid() and not is_open(agent, info) and file.read() == sealed(agent):
                return "HAVE"
    except OSError:
        pass
    return "NEED DAMAGED" if os.path.lexists(agent) else "NEED"


def install(agent: str, tmp: str, data: bytes) -> None:
    import compileall, io, re, shutil, tempfile, zipfile  # noqa: E401, I001 - few lines

    lock = os.open(tmp, os.O_RDONLY)  # the mutex of tmp/ (files/layout.py)
    fcntl.flock(lock, fcntl.LOCK_EX)
    work = tempfile.mkdtemp(prefix="boot-", dir=tmp)
    new, old = os.path.join(work, "new"), os.path.join(work, "old")
    try:
        os.mkdir(new)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if not re.match(r"(\w[\w.-]*/)*\w[\w.-]*\Z", name, re.ASCII):
                    fail("bad_upload", "unsafe name %r in the agent" % name)
                archive.extract(name, new)
        compileall.compile_dir(new, quiet=2, ddir=agent)
        with open(os.path.join(new, SEAL), "w") as file:
            file.write(sealed(new))  # includes its own name
        for folder, _, names in os.walk(new):
            for each in (*names, "."):
                sync(os.path.join(folder, each))
        if hold(agent) != "HAVE":  # else another host was faster
            if os.path.lexists(agent):
                os.rename(agent, old)
            os.rename(new, agent)
        sync(os.path.dirname(agent))
    except zipfile.BadZipFile as error:
        fail("bad_upload", error)
    except OSError as error:
        fail(why(error, tmp), error)  # before the cleanup, which may free what was short
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def prepare() -> str:
    """Make sure that the agent is there, importable and locked. Returns the root."""
    if sys.version_info < (3, 8):
        fail("old_python", "the agent needs Python 3.8 or newer, this is " + sys.version.split()[0])
    os.umask(0o077)
    sys.dont_write_bytecode = True  # what is not sealed is not run
    request = json.loads(b"".join(iter(lambda: read(1), b"\n")).decode())
    root, sha = os.path.expanduser(request["root"]), request["sha256"]
    if root.startswith("~"):
        fail("no_home", "there is no such home folder here: " + root)
    root = os.path.realpath(root)
    agent = os.path.join(root, "agents", sha)
    try:
        prepare_root(root)
        found = hold(agent)
        say(found)
        if found != "HAVE":
            import hashlib

            data = read(request["size_bytes"])
            if hashlib.sha256(data).hexdigest() != sha:
                fail("bad_upload", "the bytes are not the agent that was announced")
            install(agent, os.path.join(root, "tmp"), data)
            if hold(agent) == "NEED DAMAGED":  # what is not sealed is not run, even now
                fail("bad_upload", "what was just installed in %s does not read back as it was written" % agent)
    except OSError as error:
        fail(why(error, root), error)
    sys.path.insert(0, agent)
    return str(root)


try:
    root = prepare()
except (KeyError, TypeError, ValueError) as error:
    fail("internal", repr(error))

from device_agent.__main__ import main  # noqa: E402 - of the agent that was prepared

main(root)
