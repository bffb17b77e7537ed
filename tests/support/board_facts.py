"""What the agent reads of each tree of tests/boards."""

from tests.support import board_trees

BOOKWORM, RASPBIAN = "Debian GNU/Linux 12 (bookworm)", "Raspbian GNU/Linux 12 (bookworm)"
A53 = "cortex-a53"
MACHINES = {
    # model, cpu, os, memory in KiB, highest clock, governor, release, power mode
    "pi3": ("Raspberry Pi 3 Model B Rev 1.2", A53, BOOKWORM, 943744, 1200000, "ondemand", None, None),
    "pi3_32bit": ("Raspberry Pi 3 Model B Rev 1.2", A53, RASPBIAN, 943744, 1200000, "ondemand", None, None),
    "zero_2w": ("Raspberry Pi Zero 2 W Rev 1.0", A53, BOOKWORM, 436604, 1000000, "ondemand", None, None),
    "zero_2w_32bit": ("Raspberry Pi Zero 2 W Rev 1.0", A53, RASPBIAN, 436604, 1000000, "ondemand", None, None),
    "pi4": ("Raspberry Pi 4 Model B Rev 1.4", "cortex-a72", BOOKWORM, 3884360, 1800000, "ondemand", None, None),
    "pi5": ("Raspberry Pi 5 Model B Rev 1.0", "cortex-a76", BOOKWORM, 8256512, 2400000, "ondemand", None, None),
    "jetson_nano": (
        "NVIDIA Jetson Nano Developer Kit", "ARMv8 Processor rev 1 (v8l)", "Ubuntu 18.04.6 LTS", 4059136, 1479000, "schedutil",
        "R32.7.1", "MAXN",
    ),
    "xavier_nx": (
        "NVIDIA Jetson Xavier NX Developer Kit", "carmel", "Ubuntu 18.04.6 LTS", 7951360, 1907200, "schedutil",
        "R32.7.1", "MODE_15W_6CORE",
    ),
    "orin_nano": (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "cortex-a78", "Ubuntu 22.04.5 LTS", 7802880, 1728000,
        "schedutil", "R36.4.3", "25W",
    ),
    "agx_orin": (
        "NVIDIA Jetson AGX Orin Developer Kit", "cortex-a78", "Ubuntu 20.04.6 LTS", 31409060, 2201600, "schedutil",
        "R35.4.1", "MODE_30W",
    ),
    "pc": (
        "LENOVO ThinkCentre M720q", "Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz", "Debian GNU/Linux 13 (trixie)", 16265412, 3500000,
        "powersave", None, None,
    ),
}  # fmt: skip


CONDITIONS = {
    # temperature, lowest clock, governor, load, pressure, available KiB, throttle flags
    "pi3": (58534, 1200000, "ondemand", 80, None, 742100, 0x50005),
    "pi3_32bit": (58534, 1200000, "ondemand", 80, None, 742100, 0x50005),
    "zero_2w": (45084, 600000, "ondemand", 80, None, 287300, 0),
    "zero_2w_32bit": (45084, 600000, "ondemand", 80, None, 287300, 0),
    "pi4": (52350, 600000, "ondemand", 520, None, 3421000, 0x50000),
    "pi5": (48300, 2400000, "ondemand", 0, 123, 7612304, 0),
    "jetson_nano": (27000, 102000, "schedutil", 100, None, 3300000, None),
    "xavier_nx": (35000, 1190400, "schedutil", 310, None, 5214200, None),
    "orin_nano": (50562, 729600, "schedutil", 1250, 0, 6998000, None),
    "agx_orin": (47218, 729600, "schedutil", 550, 20, 28914200, None),
    "pc": (41000, 900000, "powersave", 200, 0, 13914200, None),
}
MACHINES |= {name: board_trees.expected(name, "machine") for name in board_trees.ADOPTED}
CONDITIONS |= {name: board_trees.expected(name, "conditions") for name in board_trees.ADOPTED}
