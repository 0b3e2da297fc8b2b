"""Kernels emitted by derive; see manifest.json."""
