"""The `virtual-aarch64` board: an emulated ARM machine that boots a real Debian, without root and without KVM.

    recipe.py       the image's packages, files and boot script; their hash is the image's name
    build.py        builds the image once from Debian's packages, which are only unpacked, never run
    initrd.py       the first program of the boot: loads the drivers of the disk and the network, then switches to the disk
    device_tree.py  the machine's identity
    machine.py      start, stop, reset; the address

Measurements are of the emulator: its latencies say nothing about a board.
"""
