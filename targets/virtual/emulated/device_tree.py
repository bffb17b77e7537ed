"""The flattened device tree of the emulated machine, with the names of a board in its root.

Format: Devicetree Specification 0.4, chapter 5. Boards: device trees of the Linux kernel, arch/arm64/boot/dts/broadcom and
.../nvidia, and the model as /proc/device-tree/model shows it on each of them.
"""

import struct
from collections.abc import Iterator, Sequence

import msgspec

MAGIC, VERSION, LAST_COMPATIBLE = 0xD00DFEED, 17, 16
HEADER = struct.Struct(">10I")
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9
RESERVATION_BYTES = 16  # address and size; the last entry is all zero


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a kind of board, and the closest processor in QEMU 7.2."""

    model: str
    compatible: tuple[str, ...]
    cpu: str
    memory_mib: int = 1024  # of the emulated machine; less for a board that has less


# QEMU 7.2 has neither Cortex-A78AE (Orin) nor Carmel (Xavier): Cortex-A76 is the closest, with the same instructions
# for int8 (dot product).
IDENTITIES = {
    "raspberry_pi_3": Identity(
        model="Raspberry Pi 3 Model B Plus Rev 1.3", compatible=("raspberrypi,3-model-b-plus", "brcm,bcm2837"), cpu="cortex-a53",
    ),
    "raspberry_pi_zero_2_w": Identity(
        model="Raspberry Pi Zero 2 W Rev 1.0", compatible=("raspberrypi,model-zero-2-w", "brcm,bcm2837"), cpu="cortex-a53",
        memory_mib=512,
    ),
    "raspberry_pi_4": Identity(
        model="Raspberry Pi 4 Model B Rev 1.4", compatible=("raspberrypi,4-model-b", "brcm,bcm2711"), cpu="cortex-a72",
    ),
    "raspberry_pi_5": Identity(
        model="Raspberry Pi 5 Model B Rev 1.0", compatible=("raspberrypi,5-model-b", "brcm,bcm2712"), cpu="cortex-a76",
    ),
    "jetson_nano": Identity(
        model="NVIDIA Jetson Nano Developer Kit", compatible=("nvidia,p3450-0000", "nvidia,tegra210"), cpu="cortex-a57",
    ),
    "jetson_xavier_nx": Identity(
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible=("nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"), cpu="cortex-a76",
    ),
    "jetson_orin_nano": Identity(
        model="NVIDIA Jetson Orin Nano Developer Kit",
        compatible=("nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"), cpu="cortex-a76",
    ),
    "jetson_agx_orin": Identity(
        model="NVIDIA Jetson AGX Orin Developer Kit",
        compatible=("nvidia,p3737-0000+p3701-0000", "nvidia,p3701-0000", "nvidia,tegra234"), cpu="cortex-a76",
    ),
}  # fmt: skip
"""By the names of targets/boards: the kinds that have a 64-bit ARM processor."""


def renamed(tree: bytes, model: str, compatible: Sequence[str]) -> bytes:
    """Return `tree` with `model` and `compatible` in its root node, otherwise unchanged. ValueError: it is not such a tree."""
    try:
        magic, _, at_struct, at_strings, at_reserved, version, _, boot_cpu, strings_bytes, _ = HEADER.unpack_from(tree)
        if magic != MAGIC or version < LAST_COMPATIBLE:
            raise ValueError(f"it is not a device tree of version {LAST_COMPATIBLE} or later")
        names = tree[at_strings : at_strings + strings_bytes]
        reserved = _reservations(tree[at_reserved:])
        wanted = {
            b"model": _text(model),
            b"compatible": b"".join(map(_text, compatible)),
        }
        nodes = b"".join(_rewritten(tree, at_struct, names, wanted))
    except (struct.error, IndexError) as error:
        raise ValueError("the device tree is cut off") from error
    if wanted:
        raise ValueError(f"the device tree's root has no {b', '.join(wanted).decode()}")
    start = HEADER.size  # all parts but the last have sizes that keep the alignment
    at_nodes = start + len(reserved)
    at_names = at_nodes + len(nodes)
    header = HEADER.pack(
        MAGIC,
        at_names + len(names),
        at_nodes,
        at_names,
        start,
        VERSION,
        LAST_COMPATIBLE,
        boot_cpu,
        len(names),
        len(nodes),
    )
    return header + reserved + nodes + names


def _rewritten(tree: bytes, at: int, names: bytes, wanted: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield the structure block, token by token; replaced properties are removed from `wanted`."""
    depth = 0
    while True:
        began = at
        (token,) = struct.unpack_from(">I", tree, at)
        at += 4
        if token == BEGIN_NODE:
            depth += 1
            at = _aligned(tree.index(b"\0", at) + 1, began)
        elif token == END_NODE:
            depth -= 1
        elif token == PROP:
            size, name_at = struct.unpack_from(">II", tree, at)
            name = names[name_at : names.index(b"\0", name_at)]
            at = _aligned(at + 8 + size, began)
            if depth == 1 and name in wanted:
                value = wanted.pop(name)
                yield struct.pack(">III", PROP, len(value), name_at) + value + bytes(-len(value) % 4)
                continue
        elif token not in {NOP, END}:
            raise ValueError(f"the device tree holds an unknown token {token}")
        if at > len(tree):
            raise IndexError
        yield tree[began:at]
        if token == END:
            return


def _reservations(block: bytes) -> bytes:
    """Return the memory reservation block, with the empty entry that ends it."""
    for at in range(0, len(block), RESERVATION_BYTES):
        if not any(block[at : at + RESERVATION_BYTES]):
            return block[: at + RESERVATION_BYTES]
    raise IndexError


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _aligned(at: int, began: int) -> int:
    """Return the next offset that is a multiple of four bytes from `began`."""
    return at + (began - at) % 4
