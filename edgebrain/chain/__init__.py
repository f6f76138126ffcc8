"""Several scripts in a row: their configuration, words and stamps.

Import the modules, not this package: it imports nothing. The scripts
themselves are run by chain.py at the root.
"""
