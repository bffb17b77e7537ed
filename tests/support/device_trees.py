"""Device trees as QEMU writes them."""

import struct


def padded(data):
    return data + bytes(-len(data) % 4)


def written(node, reserved=()):
    """A device tree as QEMU might write it, with its parts in another order than ours."""
    strings = bytearray()

    def offset(name):
        at = len(strings)
        strings.extend(name.encode() + b"\0")
        return at

    def block(name, node):
        found, below = node
        out = struct.pack(">I", 1) + padded(name.encode() + b"\0")
        for key, value in found.items():
            out += struct.pack(">III", 3, len(value), offset(key)) + padded(value) + struct.pack(">I", 4)
        return out + b"".join(block(key, each) for key, each in below.items()) + struct.pack(">I", 2)

    tree = block("", node) + struct.pack(">I", 9)
    reserve = b"".join(struct.pack(">QQ", *each) for each in (*reserved, (0, 0)))
    at_strings = 40
    at_reserve = at_strings + len(strings) + -(at_strings + len(strings)) % 8
    at_tree = at_reserve + len(reserve)
    header = struct.pack(
        ">10I", 0xD00DFEED, at_tree + len(tree), at_tree, at_strings, at_reserve, 17, 16, 0, len(strings), len(tree)
    )
    return (header + strings).ljust(at_reserve, b"\0") + reserve + tree + bytes(100)
