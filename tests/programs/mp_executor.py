#!/usr/bin/env python3
"""mp_executor.py [METHOD [WORKERS]]: concurrent.futures.ProcessPoolExecutor by METHOD (fork, spawn
or forkserver).

Expected: as for mp_pool.py.
Prints {"self", "method", "workers": [...], "parents": [...]}, both sorted, after all have ended.
Workers are made on demand, so each task holds its worker until all of them have one.
"""
import concurrent.futures
import json
import multiprocessing
import os
import sys

barrier = None


def begin(shared):
    global barrier
    barrier = shared


def work(_):
    barrier.wait(60)
    return os.getpid(), os.getppid()


def main():
    method = sys.argv[1] if len(sys.argv) > 1 else "spawn"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(
        count, mp_context=context, initializer=begin, initargs=(context.Barrier(count),)
    ) as executor:
        told = list(executor.map(work, range(count)))
    print(json.dumps({
        "self": os.getpid(),
        "method": method,
        "workers": sorted(pid for pid, _ in told),
        "parents": sorted({parent for _, parent in told}),
    }))


if __name__ == "__main__":
    main()
