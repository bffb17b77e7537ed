from targets.boards import Board

BOARD = Board(
    title="Raspberry Pi 5",
    model="Raspberry Pi 5",
    energy="the PMIC's rails (vcgencmd pmic_read_adc) are not read by this version",
    source="device tree model `Raspberry Pi 5 Model B Rev 1.0`; vcgencmd pmic_read_adc lists 12 rails",
)
