from targets.boards import CLOCKS, JETSON_TEMPERATURE, JETSON_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="NVIDIA Jetson Nano",
    models=("NVIDIA Jetson Nano",),
    identity=Fact("model `NVIDIA Jetson Nano Developer Kit`; module p3448-0000 is the one with 4 GB", UNSEEN),
    soc=Fact("Tegra X1 (tegra210)", UNSEEN),
    cores=Fact("4 x Cortex-A57, 102 to 1479 MHz", "public samples of tegrastats and of /proc/cpuinfo (part 0xd07)"),
    memory=Fact("4 GB (2 GB on the 2GB kit)", "a public sample of tegrastats: 3964 MB"),
    runtimes=Fact(
        "JetPack 4 has Python 3.6, but the agent needs 3.8: install it in addition; then tflite_runtime 2.13 and onnxruntime, as its glibc allows",
        UNSEEN,
    ),
    temperature=JETSON_TEMPERATURE,
    throttling=JETSON_THROTTLING,
    clocks=CLOCKS,
    power=Fact(
        "the INA3221 (iio, JetPack 4): POM_5V_IN, the whole board",
        "public samples; device_agent/meters/jetson_ina3221.py",
    ),
)
