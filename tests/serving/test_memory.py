import platform
import subprocess
import sys

import pytest

from receiver.serving.memory import ARENAS

SCRIPT = """
import ctypes, sys, threading
from receiver.serving.memory import use_few_arenas
if sys.argv[1] == "few":
    assert use_few_arenas()
here, done = threading.Barrier(17), threading.Event()
def work():
    taken = [bytes(3000) for _ in range(100)]
    here.wait()
    done.wait()
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
here.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
done.set()
"""


def arenas(how: str) -> int:
    command = [sys.executable, "-c", SCRIPT, how]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_all_threads_of_a_worker_share_few_pools_of_memory() -> None:
    assert arenas("few") <= ARENAS < arenas("many")
