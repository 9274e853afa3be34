#!/usr/bin/env python3
"""mp_running.py KIND METHOD: a Pool (pool) or ProcessPoolExecutor (executor) that runs before it is followed.

Has its first workers work, prints a line "ready SELF", waits for a line on stdin, and then has it start more:
a pool those that take the place of workers which are used up, an executor those that it had no need of yet.
Expected of a recording that begins in between: the same as of one from the beginning.
Prints {"self", "workers": [...]}, those that were not there before, after all have ended.
"""
import concurrent.futures
import json
import multiprocessing
import os
import sys
import time


def work(_=None):
    time.sleep(0.15)
    return os.getpid()


def main():
    kind, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    if kind == "pool":
        pool = context.Pool(2, maxtasksperchild=1)
        used = set(pool.map(work, range(2), 1))
        # The next two take their place.
        while len({child.pid for child in multiprocessing.active_children()} - used) < 2:
            time.sleep(0.02)
    else:
        executor = concurrent.futures.ProcessPoolExecutor(4, mp_context=context)
        executor.submit(work).result()
    there = {child.pid for child in multiprocessing.active_children()}
    print("ready", os.getpid(), flush=True)
    sys.stdin.readline()
    if kind == "pool":
        told = pool.map(work, range(4), 1)
        pool.close()
        pool.join()
    else:
        tasks = [executor.submit(work) for _ in range(4)]
        told = [task.result() for task in tasks]
        executor.shutdown()
    print(json.dumps({"self": os.getpid(), "workers": sorted(set(told) - there)}))


if __name__ == "__main__":
    main()
