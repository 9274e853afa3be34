#!/usr/bin/env python3
"""mp_pool.py [METHOD [WORKERS]]: a multiprocessing.Pool by METHOD (fork, spawn or forkserver).

Expected: as for mp_process.py, and one group of WORKERS.
Prints {"self", "method", "workers": [...], "parents": [...]}, both sorted, after all have ended.
Every worker writes down its pid as it starts, so idle workers are told as well.
"""
import json
import multiprocessing
import os
import sys


def begin(answers):
    answers.put((os.getpid(), os.getppid()))


def work(number):
    return number * number


def main():
    method = sys.argv[1] if len(sys.argv) > 1 else "spawn"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    with context.Pool(count, initializer=begin, initargs=(answers,)) as pool:
        told = [answers.get(timeout=60) for _ in range(count)]
        if pool.map(work, range(20)) != [n * n for n in range(20)]:
            sys.exit("mp_pool.py: wrong results")
        pool.close()
        pool.join()
    print(json.dumps({
        "self": os.getpid(),
        "method": method,
        "workers": sorted(pid for pid, _ in told),
        "parents": sorted({parent for _, parent in told}),
    }))


if __name__ == "__main__":
    main()
