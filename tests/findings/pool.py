"""pool.py METHOD N: so many workers by that start method of multiprocessing, each of which imports a little."""
import json
import multiprocessing
import os
import sys
import time


def work(_):
    time.sleep(0.02)
    return os.getpid()


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    began = time.monotonic_ns()
    with context.Pool(int(sys.argv[2])) as pool:
        pids = sorted(set(pool.map(work, range(12), 1)))
    print(json.dumps({"self": os.getpid(), "workers": pids, "cost_ns": time.monotonic_ns() - began}))
