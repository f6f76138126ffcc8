"""What people read: tables, curves, spectrograms, the HTML page.

Import the modules, not this package: it imports nothing.
"""
