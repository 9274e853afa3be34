#!/usr/bin/env python3
"""mp_nested.py: a worker by spawn that starts two workers by forkserver, of a server of its own.

Expected: one multiprocessing.spawn, asked for by nobody but its parent; one
multiprocessing.forkserver.server, a child of the spawn worker; two multiprocessing.forkserver, which
the spawn worker asked for.
Prints {"self", "middle", "server", "workers": [...]} after all have ended.
"""
import json
import multiprocessing
import os


def leaf(answers):
    answers.put((os.getpid(), os.getppid()))


def middle(answers):
    context = multiprocessing.get_context("forkserver")
    own = context.Queue()
    workers = [context.Process(target=leaf, args=(own,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    told = [own.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    answers.put((os.getpid(), sorted(pid for pid, _ in told), sorted({parent for _, parent in told})))


def main():
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    worker = context.Process(target=middle, args=(answers,))
    worker.start()
    pid, workers, servers = answers.get(timeout=60)
    worker.join()
    print(json.dumps({"self": os.getpid(), "middle": pid, "server": servers[0], "workers": workers}))


if __name__ == "__main__":
    main()
