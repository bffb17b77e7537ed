from targets.boards import Board

BOARD = Board(
    title="Raspberry Pi 4 Model B",
    model="Raspberry Pi 4",
    energy="a Raspberry Pi 4 has no power sensor: energy needs an external meter",
    source="device tree model `Raspberry Pi 4 Model B Rev 1.4`; hwmon has cpu_thermal and rpi_volt only",
)
