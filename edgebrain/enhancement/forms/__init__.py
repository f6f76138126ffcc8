"""The forms that a mask network takes: PyTorch, C, integer tables, blocks."""
