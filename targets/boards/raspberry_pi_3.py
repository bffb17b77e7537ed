from targets.boards import BITS, CLOCKS, PI_TEMPERATURE, PI_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="Raspberry Pi 3 Model A+, B or B+",
    models=("Raspberry Pi 3 Model",),
    identity=Fact(
        "model `Raspberry Pi 3 Model B Plus Rev 1.3`; compatible `raspberrypi,3-model-b-plus`, `brcm,bcm2837`",
        "a public dump of a device tree",
    ),
    soc=Fact("Broadcom BCM2837", "a public dump of a device tree"),
    cores=Fact("4 x Cortex-A53", UNSEEN),
    memory=Fact("1 GB (512 MB on the A+)", UNSEEN),
    runtimes=BITS,
    temperature=PI_TEMPERATURE,
    throttling=PI_THROTTLING,
    clocks=CLOCKS,
    power=Fact("a Raspberry Pi 3 has no power sensor: energy needs an external meter", UNSEEN),
)
