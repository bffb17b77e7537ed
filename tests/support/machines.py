"""What boards say of themselves, and which runtimes each can have."""

from device_agent.record import replace
from device_agent.wire import Machine

BOOKWORM = Machine(
    model="Raspberry Pi 5 Model B Rev 1.0", cpu="Cortex-A76", cpu_count=4, cpus=(0, 1, 2, 3), arch="aarch64", bits=64, kernel="6.6", os="Debian GNU/Linux 12",
    python="3.11.2", libc="glibc", libc_version="2.36", memory_bytes=8 << 30, cpu_max_khz=2400000, governor="ondemand",
    release=None, power_mode=None, emulator=None, packages=(),
)  # fmt: skip
JETSON = ("numpy 1.21.5", "onnxruntime-gpu 1.18.0", "tensorrt 10.3.0")


def board(**changes):
    return replace(BOOKWORM, **changes)


def of32(python, libc_version, arch="armv7l"):
    return board(arch=arch, bits=32, python=python, libc_version=libc_version, packages=("numpy 1.24.2",))


ALL = {"tflite_runtime", "ai_edge_litert", "onnxruntime"}
NEW = {"ai_edge_litert", "onnxruntime"}
OLD = {"tflite_runtime", "onnxruntime"}
GPU = {"onnxruntime_cuda", "onnxruntime_tensorrt"}
# Each kind of system that the boards have (test_the_table_is_what_the_package_index_has asks the index itself).
BOARDS = {
    "bullseye 64 bit": (board(python="3.9.2", libc_version="2.31"), ALL),
    "bookworm 64 bit": (board(), ALL),
    "trixie": (board(python="3.13.5", libc_version="2.41"), NEW),
    "bullseye 32 bit": (of32("3.9.2", "2.31"), {"tflite_runtime"}),
    "bookworm 32 bit": (of32("3.11.2", "2.36"), {"tflite_runtime"}),
    "64-bit kernel, 32-bit system": (of32("3.11.2", "2.36", "aarch64"), {"tflite_runtime"}),
    "trixie 32 bit": (of32("3.13.5", "2.41"), set()),
    "Python 3.11 of one's own on bullseye, 32 bit": (of32("3.11.2", "2.31"), set()),
    "a 32-bit board without numpy": (board(arch="armv7l", bits=32), set()),
    "Pi Zero of the first kind": (of32("3.11.2", "2.36", "armv6l"), set()),
    "JetPack 4, Python 3.8 of Ubuntu": (board(python="3.8.0", libc_version="2.27"), OLD),
    "JetPack 5": (board(python="3.8.10", libc_version="2.31"), OLD),
    "JetPack 5, Python 3.11 of one's own": (board(python="3.11.9", libc_version="2.31"), NEW),
    "JetPack 6": (board(python="3.10.12", libc_version="2.35"), ALL),
    "JetPack 6 with NVIDIA's packages": (board(python="3.10.12", libc_version="2.35", packages=JETSON), ALL | GPU),
    "Ubuntu 24.04": (board(python="3.12.3", libc_version="2.39"), NEW),
    "Python 3.14": (board(python="3.14.0", libc_version="2.41"), NEW),
    "Python 3.15": (board(python="3.15.0", libc_version="2.41"), set()),
    "PC": (board(arch="x86_64", python="3.11.2"), ALL),
    "PC, Python 3.8": (board(arch="x86_64", python="3.8.10", libc_version="2.31"), OLD),
    "Alpine": (board(libc="musl", libc_version="1.2"), set()),
}
