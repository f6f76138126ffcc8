"""Training: losses, regularisation, and the Brain that uses them.

Import the modules, not this package: it imports nothing, so that a tool
which needs one light part does not pay for torch.
"""
