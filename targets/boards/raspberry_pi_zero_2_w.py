from targets.boards import BITS, CLOCKS, KERNEL_TREE, PI_TEMPERATURE, PI_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="Raspberry Pi Zero 2 W",
    models=("Raspberry Pi Zero 2 W",),
    identity=Fact("model `Raspberry Pi Zero 2 W`", KERNEL_TREE),
    soc=Fact("Broadcom BCM2710A1 in the package RP3A0", "public reviews of the board"),
    cores=Fact("4 x Cortex-A53, 600 to 1000 MHz", "public reviews of the board"),
    memory=Fact("512 MB", "public reviews of the board"),
    runtimes=BITS,
    temperature=PI_TEMPERATURE,
    throttling=PI_THROTTLING,
    clocks=CLOCKS,
    power=Fact("a Raspberry Pi Zero 2 W has no power sensor: energy needs an external meter", UNSEEN),
)
