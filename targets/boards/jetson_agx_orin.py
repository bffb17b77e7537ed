from targets.boards import CLOCKS, JETSON_RUNTIMES, JETSON_TEMPERATURE, JETSON_THROTTLING, UNSEEN, Board, Fact

BOARD = Board(
    title="NVIDIA Jetson AGX Orin",
    models=("NVIDIA Jetson AGX Orin",),
    identity=Fact("model `NVIDIA Jetson AGX Orin Developer Kit`", "a public sample"),
    soc=Fact("Orin (tegra234)", UNSEEN),
    cores=Fact("8 or 12 x Cortex-A78AE", UNSEEN),
    memory=Fact("32 or 64 GB", UNSEEN),
    runtimes=JETSON_RUNTIMES,
    temperature=JETSON_TEMPERATURE,
    throttling=JETSON_THROTTLING,
    clocks=CLOCKS,
    power=Fact(
        "two INA3221 (hwmon): no rail measures the whole module, so the named ones are summed",
        "public samples: VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0, VDDQ_VDD2_1V8AO, and channels named NC; device_agent/meters/jetson_ina3221.py",
    ),
)
