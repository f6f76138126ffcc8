"""C tables for Ambiq's NNSE runtime from a network trained here."""
