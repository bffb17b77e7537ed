"""Resident memory of this process, split as the kernel does: a mapped model file is not the same as a copy of it.

Proportional figures (Pss) are left out: they depend on which other processes map the same libraries, 12 to 20 MB in
measurements of one and the same model.
"""

from typing import Optional

from device_agent import facts
from device_agent.wire import MemoryStep

STATUS = "proc/self/status"


def snapshot(step: str) -> MemoryStep:
    """The bytes that are resident now."""
    return MemoryStep(
        step=step,
        resident_bytes=facts.kib(STATUS, "VmRSS"),
        anonymous_bytes=facts.kib(STATUS, "RssAnon"),
        file_bytes=facts.kib(STATUS, "RssFile"),
    )


def peak_bytes() -> Optional[int]:
    """The most that was ever resident (VmHWM). Not ru_maxrss: that is inherited from the parent through fork and exec."""
    return facts.kib(STATUS, "VmHWM")
