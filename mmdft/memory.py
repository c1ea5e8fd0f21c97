"""Memory that training on a CPU keeps instead of giving it back at each step."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of returning them to the kernel.

    A training step frees and takes the same hundreds of megabytes again; by default each comes
    from mmap and every page is faulted in anew, which can cost more than the arithmetic. The same
    is had with MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_MAX_ in the environment, but only before
    the process starts. Nothing happens where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_M_MMAP_MAX, 0)
