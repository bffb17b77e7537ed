from targets.boards import AGENT, CLOCKS, WHEELS, Board, Fact

BOARD = Board(
    title="any 64-bit PC or x86 board",
    architecture="x86_64",
    processor="x86_64",
    identity=Fact("uname -m is x86_64, if no known kind fits its model", "device_agent/board/machine.py"),
    soc=Fact("read on the board itself", "device_agent/board/machine.py"),
    cores=Fact("read on the board itself", "device_agent/board/machine.py"),
    memory=Fact("read on the board itself", "device_agent/board/machine.py"),
    runtimes=Fact("tflite_runtime, ai_edge_litert and onnxruntime, as its Python and glibc allow", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature show it", AGENT),
    clocks=CLOCKS,
    power=Fact(
        "the processor packages by RAPL, if its counters are readable (only by root on most systems); else an external meter",
        "device_agent/meters/rapl.py",
    ),
)
