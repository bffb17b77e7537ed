from targets.boards import BITS, CLOCKS, PI_TEMPERATURE, PI_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="Raspberry Pi 5",
    models=("Raspberry Pi 5 Model B",),
    identity=Fact(
        "model `Raspberry Pi 5 Model B Rev 1.0`; compatible `raspberrypi,5-model-b`, `brcm,bcm2712`",
        "a public sample and the Linux kernel's device tree bindings",
    ),
    soc=Fact("Broadcom BCM2712", "the Linux kernel's device tree bindings"),
    cores=Fact("4 x Cortex-A76, up to 2400 MHz", "public samples"),
    memory=Fact("2, 4, 8 or 16 GB", UNSEEN),
    runtimes=BITS,
    temperature=PI_TEMPERATURE,
    throttling=PI_THROTTLING,
    clocks=CLOCKS,
    power=Fact(
        "the sum of the PMIC's rails (vcgencmd pmic_read_adc), coarse: not calibrated, and without devices on 5 V",
        "a public sample: volt and ampere a rail, EXT5V without a current; device_agent/meters/pi5_pmic.py",
    ),
)
