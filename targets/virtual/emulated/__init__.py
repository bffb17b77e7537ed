"""The `virtual-aarch64` board: an emulated ARM machine that boots a real Debian, without root and without KVM.

    recipe.py       what the image is made of: packages, files, how it starts; its hash is the image's name
    build.py        the image, once, from Debian's packages: nothing of them is run here, they are only unpacked
    initrd.py       the first program of the boot: loads the drivers of the disk and the network, then goes on to the disk
    device_tree.py  what the machine says that it is
    machine.py      start, stop, reset; where it listens

What is measured on it is the emulator's: no latency of it says anything about a board.
"""
