"""ONNX files: export, graph surgery, metadata, checks, and their runner.

:mod:`.runner`, :mod:`.session` and :mod:`.metadata` need no torch.
"""
