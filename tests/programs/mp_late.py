#!/usr/bin/env python3
"""mp_late.py [WORKERS]: a fork server that runs before it is needed.

Starts one worker by forkserver (and with it the server and the resource tracker), prints a line
"ready SERVER", waits for a line on stdin, and then starts WORKERS (3) more.
Expected of a recording that begins in between: one multiprocessing.forkserver start a worker, asked
for by "self", and one group of WORKERS; no start of the server, which ran before.
Prints {"self", "server", "workers": [...]} after all have ended.
"""
import json
import multiprocessing
import os
import sys


def work(answers):
    answers.put((os.getpid(), os.getppid()))


def run(context, count):
    answers = context.Queue()
    workers = [context.Process(target=work, args=(answers,)) for _ in range(count)]
    for worker in workers:
        worker.start()
    told = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    return told


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    context = multiprocessing.get_context("forkserver")
    (_, server), = run(context, 1)
    print("ready", server, flush=True)
    sys.stdin.readline()
    told = run(context, count)
    print(json.dumps({
        "self": os.getpid(),
        "server": server,
        "workers": sorted(pid for pid, _ in told),
    }))


if __name__ == "__main__":
    main()
