"""Runtimes: one file each, one line in RUNTIMES. Only the runner imports them, in a process of its own.

A runtime's file imports its library at the top (import_ns measures that) and has
    version() -> str
    profile(path, launch, rows, folder, limits) -> (operators, note)   if the library can time its kernels: see runtimes/_profile.py
    open_model(path, launch) -> a Model of runtimes/_model.py, with
        allocate             None, or what prepares the loaded model, if the library has such a step; called once, first
        inputs               a Tensor for each input that is fed, first those of launch.inputs in their order
        feed(arrays, fresh)  set the inputs to these, as `fitted` made them; `fresh`: state begins with zeros. Not timed
        invoke()             one inference. The ONLY thing that is timed
        outputs()            the answers of the last invoke, in the order of launch.outputs: dequantized where quantized
        reset()              forget what is left of earlier inferences
        delegates            what runs the model, by the library's own names; (): the library does not tell
"""

RUNTIMES = {
    "ai_edge_litert": "device_agent.runtimes.ai_edge_litert",
    "onnxruntime": "device_agent.runtimes.onnxruntime",
    "onnxruntime_cuda": "device_agent.runtimes.onnxruntime_cuda",
    "onnxruntime_tensorrt": "device_agent.runtimes.onnxruntime_tensorrt",
    "sleep": "device_agent.runtimes.sleep",
    "tflite_runtime": "device_agent.runtimes.tflite_runtime",
}
