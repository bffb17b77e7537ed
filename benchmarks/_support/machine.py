"""Names the machine, so that every figure says where it comes from."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor, the system and the Python."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    return f"{cpu}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def describe() -> str:
    """The same, and the load at this moment."""
    return f"{processor()}, load average {os.getloadavg()[0]:.2f}"
