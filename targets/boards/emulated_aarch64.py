"""The machine of `virtual-aarch64`: a real ARM system on an emulated processor, so its timings are those of the emulator."""

from targets.boards import WHEELS, Board, Fact

QEMU = "targets/virtual/emulated"
NONE = Fact("an emulated processor has none", "observed in the emulated machine: no cpufreq, no thermal zone, no hwmon")
BOARD = Board(
    title="an emulated ARM machine, not a board",
    identity=Fact("QEMU's virt machine with the model name of the requested board (--as)", QEMU),
    soc=Fact("none: QEMU's software emulation of a Cortex-A72 or alike", QEMU),
    cores=Fact("2", QEMU),
    memory=Fact("1 GiB", QEMU),
    runtimes=Fact(
        "tflite_runtime, ai_edge_litert and onnxruntime: Debian 12, Python 3.11, glibc 2.36, aarch64", WHEELS
    ),
    temperature=NONE,
    throttling=NONE,
    clocks=NONE,
    power=Fact("an emulated machine draws no power of its own", QEMU),
    tried_on_hardware=True,
)
