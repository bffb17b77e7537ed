from targets.boards import AGENT, CLOCKS, WHEELS, Board, Fact

BOARD = Board(
    title="any 64-bit PC or x86 board",
    architecture="x86_64",
    processor="x86_64",
    identity=Fact("uname -m is x86_64, where no model of a known kind fits", "device_agent/board/machine.py"),
    soc=Fact("asked of the board itself", "device_agent/board/machine.py"),
    cores=Fact("asked of the board itself", "device_agent/board/machine.py"),
    memory=Fact("asked of the board itself", "device_agent/board/machine.py"),
    runtimes=Fact("tflite_runtime, ai_edge_litert and onnxruntime, as its Python and glibc allow", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature tell", AGENT),
    clocks=CLOCKS,
    power=Fact(
        "the processor packages by RAPL, where its counters may be read (for root only on most systems); else an external meter",
        "device_agent/meters/rapl.py",
    ),
)
