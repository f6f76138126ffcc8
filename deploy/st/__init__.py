"""Hand-off to ST Edge AI Core: check, package, run the tool, read it back.

Needs onnx and numpy, and onnxruntime for the expected outputs; neither torch
nor speechbrain.
"""
