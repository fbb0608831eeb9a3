# PyTorch's side of the works: one line in (`build ID`, `time ID N`, `end`), one line of JSON out; { "error": … } where it failed.
#
#   python3 peer.py THREADS [compile]
import ctypes
import json
import re
import resource
import sys
import time

import torch

import works

THREADS = int(sys.argv[1])
COMPILE = "compile" in sys.argv[2:]
torch.manual_seed(0)
torch.set_num_threads(THREADS)


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def blas():
    # What is loaded, not what it was built for: Debian's reference BLAS takes OpenBLAS's place, and is 30 times slower.
    if torch.backends.mkl.is_available():
        return ""
    torch.matmul(torch.ones(64, 64), torch.ones(64, 64))
    with open("/proc/self/maps") as maps:
        paths = sorted({line.split()[-1] for line in maps if "blas" in line.lower() and "numpy" not in line})
    for path in paths:
        if "libopenblas" in path:
            config = ctypes.CDLL(path).openblas_get_config
            config.restype = ctypes.c_char_p
            return " " + " ".join(config().decode().split()[:2])
    return " " + "+".join(path.split("/")[-1] for path in paths)


version = re.match(r"\d+(\.\d+)*", torch.__version__).group()
mode = (" compiled" if COMPILE else " eager") if hasattr(torch, "compile") else ""
say({"ready": True, "version": version + blas() + mode, "threads": torch.get_num_threads(), "device": "cpu"})
built = {}
for line in sys.stdin:
    command, *rest = line.split()
    if command == "end":
        say({"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
        break
    try:
        if command == "build":
            built[rest[0]] = works.build(rest[0], COMPILE)
            say({"built": rest[0]})
            continue
        run, repeat = built[rest[0]], int(rest[1])
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        say({"seconds": (time.perf_counter() - start) / repeat})
    except Exception as error:  # the work is lost, the others are not
        say({"error": f"{type(error).__name__}: {error}"[:300]})
