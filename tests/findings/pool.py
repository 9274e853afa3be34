"""pool.py METHOD N: so many workers by that start method of multiprocessing (or `preload`: forkserver with the heavy
module preloaded), in a program that imports a heavy module. The cost is how long it took until all were through."""
import json
import multiprocessing
import os
import sys
import time

import heavy  # noqa: F401


def work(_):
    time.sleep(0.02)
    return os.getpid()


if __name__ == "__main__":
    # A fork server does not have the script's folder in its path.
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
    method, n = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context("forkserver" if method == "preload" else method)
    if method == "preload":
        context.set_forkserver_preload(["heavy"])
    began = time.monotonic_ns()
    with context.Pool(n) as pool:
        pids = sorted(set(pool.map(work, range(4 * n), 1)))
        # Until the last worker has come.
        while len(pids) < n:
            pids = sorted(set(pids) | set(pool.map(work, range(n), 1)))
    print(json.dumps({"self": os.getpid(), "workers": pids, "cost_ns": time.monotonic_ns() - began}))
