"""From a quantized ONNX stream of this project to C99.

``program.read`` turns the graph into a short list of integer operations,
``reference`` computes them in numpy, ``emit`` writes them as C, and
``package`` puts the sources, the runtime and the examples into a folder.
Needs onnx and numpy.
"""
