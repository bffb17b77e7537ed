from targets.boards import BITS, CLOCKS, PI_TEMPERATURE, PI_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="Raspberry Pi 4 Model B",
    models=("Raspberry Pi 4 Model B",),
    identity=Fact(
        "model `Raspberry Pi 4 Model B Rev 1.4`; compatible `raspberrypi,4-model-b`, `brcm,bcm2711`",
        "public samples (Rev 1.2, 1.5) and the Linux kernel's device tree bindings",
    ),
    soc=Fact("Broadcom BCM2711", "the Linux kernel's device tree bindings"),
    cores=Fact("4 x Cortex-A72, 600 to 1500 or 1800 MHz", UNSEEN),
    memory=Fact("1, 2, 4 or 8 GB", UNSEEN),
    runtimes=BITS,
    temperature=PI_TEMPERATURE,
    throttling=PI_THROTTLING,
    clocks=CLOCKS,
    power=Fact(
        "a Raspberry Pi 4 has no power sensor: energy needs an external meter",
        "hwmon has cpu_thermal and rpi_volt only (public samples)",
    ),
)
