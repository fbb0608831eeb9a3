# PyTorch's side of the works: one line in (`build ID`, `time ID N`, `end`), one line of JSON out.
#
#   python3 peer.py THREADS [compile]
import json
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
    torch.matmul(torch.ones(64, 64), torch.ones(64, 64))
    with open("/proc/self/maps") as maps:
        paths = sorted({line.split()[-1] for line in maps if "blas" in line.lower() or "libmkl" in line})
    return "+".join(path.split("/")[-1] for path in paths) or "built-in BLAS"


say({
    "ready": True,
    "version": torch.__version__ + " " + blas() + (" compiled" if COMPILE else ""),
    "threads": torch.get_num_threads(),
    "device": "cpu",
})
built = {}
for line in sys.stdin:
    command, *rest = line.split()
    if command == "end":
        say({"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
        break
    if command == "build":
        built[rest[0]] = works.build(rest[0], COMPILE)
        say({"built": rest[0]})
        continue
    run, repeat = built[rest[0]], int(rest[1])
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    say({"seconds": (time.perf_counter() - start) / repeat})
