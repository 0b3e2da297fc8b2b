"""Text of a module to an importable binary, and the cache of them.

    toolchain     which compiler, which flags; one module compiled out of process
    compile_job   what that process runs
    cache         finished builds on disk, by the digest of everything that shaped them
    loader        a binary file to a module object

Nothing here knows what a module computes.
"""
