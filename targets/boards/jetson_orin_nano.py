from targets.boards import CLOCKS, JETSON_RUNTIMES, JETSON_TEMPERATURE, JETSON_THROTTLING, Board, Fact

BOARD = Board(
    title="NVIDIA Jetson Orin Nano",
    models=("NVIDIA Jetson Orin Nano",),
    identity=Fact(
        "model `NVIDIA Jetson Orin Nano Developer Kit`, or `... Engineering Reference Developer Kit Super`; modules p3767-0003, -0005",
        "public samples, JetPack 6",
    ),
    soc=Fact("Orin (tegra234)", "a public sample of jetson_clocks"),
    cores=Fact(
        "6 x Cortex-A78AE, 729.6 to 1510.4 MHz at 15 W, 1344 at 25 W, 1728 at MAXN_SUPER",
        "public samples; the cores' name is general knowledge, not seen",
    ),
    memory=Fact(
        "8 GB (a 4 GB module exists)", "a public sample of tegrastats: 7620 MB; 4 GB is general knowledge, not seen"
    ),
    runtimes=JETSON_RUNTIMES,
    temperature=JETSON_TEMPERATURE,
    throttling=JETSON_THROTTLING,
    clocks=CLOCKS,
    power=Fact(
        "the INA3221 (hwmon): VDD_IN, the whole module",
        "public samples: VDD_IN, VDD_CPU_GPU_CV, VDD_SOC; device_agent/meters/jetson_ina3221.py",
    ),
)
