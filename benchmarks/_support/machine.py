"""The machine that a figure was measured on."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Return the processor, the system and the Python in one line."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    return f"{cpu}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def describe() -> str:
    """Return the same line with the load average at this moment."""
    return f"{processor()}, load average {os.getloadavg()[0]:.2f}"
