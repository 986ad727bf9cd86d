"""That threads share few arenas, counted by glibc itself."""

import ctypes
import subprocess
import sys

import pytest

from sd3demo.ui.server.malloc_arenas import ARENAS, keep_few_arenas

COUNT = """
import ctypes, sys, threading
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    print("no glibc")
    raise SystemExit
if sys.argv[1] == "few":
    from sd3demo.ui.server.malloc_arenas import keep_few_arenas
    assert keep_few_arenas()
libc.malloc.restype = ctypes.c_void_p
gate = threading.Barrier(8)
def work():
    gate.wait()
    for _ in range(100):
        ctypes.c_void_p(libc.malloc(1000))
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


def arenas(how: str, file: str) -> int:
    run = subprocess.run([sys.executable, "-c", COUNT, how, file], capture_output=True, text=True, check=True)
    if run.stdout.strip() == "no glibc":
        pytest.skip("needs glibc")
    return int(run.stdout)


def test_threads_share_few_arenas(tmp_path: object) -> None:
    file = f"{tmp_path}/arenas.xml"
    assert arenas("few", file) <= ARENAS
    assert arenas("as many as glibc makes", file) > ARENAS


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_a_page_opens_without(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no C library by no name: asking for it raises."""

    def raises(name: None) -> None:
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", raises)
    assert not keep_few_arenas()
