from targets.boards import Board

BOARD = Board(
    title="NVIDIA Jetson Orin Nano",
    model="NVIDIA Jetson Orin Nano",
    energy="the INA3221 rails (hwmon) are not read by this version",
    source="device tree model `NVIDIA Jetson Orin Nano Developer Kit`; VDD_IN is the whole module",
)
