"""Audio files, manifests, on-the-fly mixing and the embedded corpus."""
