"""The contents of the image. Its name is the hash of all of this: a changed recipe is built again."""

import ast
import hashlib
import inspect
from pathlib import Path

from targets.virtual.emulated import initrd

PACKAGES = (
    "base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "findutils", "grep", "gzip", "hostname",
    "iproute2", "libc-bin", "libgcc-s1", "libstdc++6", "linux-image-cloud-arm64", "mount", "openssh-server", "procps", "python3",
    "sed", "tar", "util-linux",
    "initramfs-tools-",  # excluded: initrd.py replaces it
)  # fmt: skip
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*")
DISK_BYTES = 2 << 30  # sparse: 0.2 GB of it are used
USER, USER_ID = "edge", 1000
HOST_NAME = "virtual-aarch64"

SSHD_CONFIG = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
"""

# QEMU's user network always gives the guest 10.0.2.15; asking it by DHCP would only take time.
BOOT = f"""\
#!/bin/sh
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/sshd /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
hostname {HOST_NAME}
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
chown {USER_ID}:{USER_ID} /home/{USER} /home/{USER}/.ssh /home/{USER}/.ssh/authorized_keys
"""

# busybox's init: restarts sshd if it ends, reaps orphans, and on reboot or poweroff ends all processes and unmounts.
INITTAB = """\
::sysinit:/usr/local/sbin/boot
::respawn:/usr/sbin/sshd -D -E /run/sshd.log
::shutdown:/bin/umount -a -r
"""

FILES = {
    "etc/fstab": "/dev/vda / ext4 rw,noatime 0 0\n",
    "etc/hostname": f"{HOST_NAME}\n",
    "etc/hosts": f"127.0.0.1 localhost {HOST_NAME}\n",
    "etc/inittab": INITTAB,
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    "etc/resolv.conf": "",
    "etc/ssh/sshd_config": SSHD_CONFIG,
    "usr/local/sbin/boot": BOOT,
}
LINKS = {f"usr/sbin/{name}": "../bin/busybox" for name in ("init", "reboot", "poweroff", "halt")}


def customise(root: Path, user_key: str, host_key: str) -> None:
    """Write into the unpacked file system what the maintainer scripts, which cannot run here, would have created.

    `user_key` is the public key that may log in, `host_key` the private key of the machine.
    """
    passwd = (root / "usr/share/base-passwd/passwd.master").read_text()
    passwd += "sshd:*:100:65534::/run/sshd:/usr/sbin/nologin\n"
    passwd += f"{USER}:*:{USER_ID}:{USER_ID}::/home/{USER}:/bin/bash\n"
    group = (root / "usr/share/base-passwd/group.master").read_text() + f"{USER}:x:{USER_ID}:\n"
    shadow = "".join(f"{line.partition(':')[0]}:*:20000:0:99999:7:::\n" for line in passwd.splitlines())
    keys = {f"{home}/.ssh/authorized_keys": user_key for home in ("root", f"home/{USER}")}
    secret = {"etc/shadow": shadow, "etc/ssh/ssh_host_ed25519_key": host_key, **keys}
    for name, text in {"etc/passwd": passwd, "etc/group": group, **FILES, **secret}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # may be a link to outside `root`
        path.write_text(text)
        path.chmod(0o600 if name in secret else 0o755 if name.endswith("/boot") else 0o644)
    for name in keys:
        (root / name).parent.chmod(0o700)
    for name, points_to in LINKS.items():
        (root / name).symlink_to(points_to)
    for path in (*(root / "etc/apt").glob("sources.list*"), *(root / "etc/apt/sources.list.d").glob("*")):
        if path.is_file():
            path.unlink()  # it has no network, and the host's own sources are private


def name(release: str) -> str:
    """Return the name of the image for this Debian release."""
    parts = (PACKAGES, LEFT_OUT, DISK_BYTES, FILES, LINKS, release)
    source = _code(inspect.getsource(customise)) + _code(inspect.getsource(initrd))
    return hashlib.sha256((repr(parts) + source).encode()).hexdigest()[:16]


def _code(source: str) -> str:
    """Return the code without comments and docstrings: another wording is not another image, and a new image loses the board's disk."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)
