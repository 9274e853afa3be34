#!/usr/bin/env python3
"""mp_process.py [METHOD [WORKERS]]: multiprocessing.Process by METHOD (fork, spawn or forkserver).

Expected: one start a worker, pattern multiprocessing.METHOD; with spawn also one
multiprocessing.resource_tracker, with forkserver that and one multiprocessing.forkserver.server,
which is the workers' creator, while "self" is who asked for them.
Prints {"self", "method", "workers": [...], "parents": [...]}, both sorted, after all have ended;
"parents" are the workers' own os.getppid(), without repetitions.
"""
import json
import multiprocessing
import os
import sys


def work(answers):
    answers.put((os.getpid(), os.getppid()))


def main():
    method = sys.argv[1] if len(sys.argv) > 1 else "spawn"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    workers = [context.Process(target=work, args=(answers,)) for _ in range(count)]
    for worker in workers:
        worker.start()
    told = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    pids = sorted(pid for pid, _ in told)
    if pids != sorted(worker.pid for worker in workers):
        sys.exit("mp_process.py: the workers' own pids differ from what multiprocessing says")
    print(json.dumps({
        "self": os.getpid(),
        "method": method,
        "workers": pids,
        "parents": sorted({parent for _, parent in told}),
    }))


if __name__ == "__main__":
    main()
