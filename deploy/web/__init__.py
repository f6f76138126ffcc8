"""The C code of models in a web page.

This package stands before the script deploy/web.py of the same name: import
from here, run that.
"""
