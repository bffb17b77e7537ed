"""What a board that is shared is made of, with and without its secrets."""

import subprocess
import sys
from pathlib import Path

import msgspec

from targets import sharing
from targets.conversation import one_line
from targets.fleet import Checked
from targets.inventory import Target
from targets.sharing.fetch import Collected
from tests.support import board_trees

ROOT = Path(__file__).parents[3]


SOURCE = (ROOT / "targets" / "sharing" / "collect.py").read_text()
PI5 = Target(name="kitchen-pi5", host="192.0.2.57", user="mmustermann", ssh="kitchen.lan.example")
PLANTED = {
    "host name": "zwiebelkuchen", "user name": "mmustermann", "MAC address": "d8:3a:dd:12:34:5f", "serial number": "10000000abcdef42",
    "address": "192.0.2.57",
}  # fmt: skip


def collected_of(tree, **environment):
    """What the script prints of a tree, as a board's Python runs it."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", one_line(SOURCE)], env=board_trees.environment(tree) | environment,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout.split("EDGEPRESS-SHARE-1\n")[1], type=Collected)


def shared_of(tree, target=PI5):
    return sharing.without_secrets(collected_of(tree), Checked(name="x", address="x"), target)


def planted(tmp_path):
    """A Pi 5 that tells its secrets in many of its files."""
    tree = board_trees.tree("pi5", tmp_path)
    for path in sorted(tree.rglob("*")):
        if path.is_file() and path.name in ("model", "os-release", "cpuinfo", "type", "governor", "name"):
            with path.open("a") as file:
                file.write(
                    "\n".join(f"{kind}: {secret} x{secret}y /home/{secret}/" for kind, secret in PLANTED.items())
                )
    (tree / "etc/hostname").write_text("zwiebelkuchen\n")
    (tree / "sys/class/net/eth0").mkdir(parents=True)
    (tree / "sys/class/net/eth0/address").write_text("d8:3a:dd:12:34:5f\n")
    (tree / "proc/device-tree/serial-number").write_bytes(b"10000000abcdef42\0")
    return tree
