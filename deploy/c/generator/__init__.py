"""From a quantized ONNX file of this project to C99, with onnx and numpy.

``read`` and ``read_patch`` turn the graph into a list of integer operations,
``emit`` and ``emit_patch`` write these as C, and ``generate`` puts the
sources, the runtime and the examples into a folder.
"""
