"""Audio files, manifests, splits, downloads and the embedded corpus."""
