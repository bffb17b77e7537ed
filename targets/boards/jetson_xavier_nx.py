from targets.boards import CLOCKS, JETSON_RUNTIMES, JETSON_TEMPERATURE, JETSON_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="NVIDIA Jetson Xavier NX",
    models=("NVIDIA Jetson Xavier NX",),
    identity=Fact("model `NVIDIA Jetson Xavier NX Developer Kit`; module p3668-0000", "public samples"),
    soc=Fact("Xavier (tegra194)", UNSEEN),
    cores=Fact(
        "6 x Carmel; the power mode switches some off",
        "a public sample: cores 0-5, MODE_10W_DESKTOP at 1907 MHz; their name is general knowledge, not seen",
    ),
    memory=Fact("8 or 16 GB", "a public sample of tegrastats: 7765 MB; 16 GB is general knowledge, not seen"),
    runtimes=JETSON_RUNTIMES,
    temperature=JETSON_TEMPERATURE,
    throttling=JETSON_THROTTLING,
    clocks=CLOCKS,
    power=Fact(
        "the INA3221 (iio or hwmon): VDD_IN, the whole module",
        "public samples: VDD_IN, VDD_CPU_GPU_CV, VDD_SOC; device_agent/meters/jetson_ina3221.py",
    ),
)
