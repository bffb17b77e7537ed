"""What boards say of themselves."""

from device_agent.wire import Machine

BOOKWORM = Machine(
    model="Raspberry Pi 5 Model B Rev 1.0", cpu="Cortex-A76", cpu_count=4, cpus=(0, 1, 2, 3), arch="aarch64", bits=64, kernel="6.6", os="Debian GNU/Linux 12",
    python="3.11.2", libc="glibc", libc_version="2.36", memory_bytes=8 << 30, cpu_max_khz=2400000, governor="ondemand",
    release=None, power_mode=None, emulator=None, packages=(),
)  # fmt: skip
