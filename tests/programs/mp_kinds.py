#!/usr/bin/env python3
"""mp_kinds.py: two workers by each method of multiprocessing, one after the other, then one program by subprocess.

Expected: as for mp_process.py and subprocess_kinds.py; of a frozen program (PyInstaller) too.
Prints {"self", "spawn": [...], "fork": [...], "forkserver": [...]} after all have ended.
"""
import json
import multiprocessing
import os
import subprocess


def work(answers):
    answers.put(os.getpid())


def main():
    told = {"self": os.getpid()}
    for method in ("spawn", "fork", "forkserver"):
        context = multiprocessing.get_context(method)
        answers = context.Queue()
        workers = [context.Process(target=work, args=(answers,)) for _ in range(2)]
        for worker in workers:
            worker.start()
        told[method] = sorted(answers.get(timeout=60) for _ in workers)
        for worker in workers:
            worker.join()
    subprocess.run(["/bin/true", "subprocess"], check=True)
    print(json.dumps(told))


if __name__ == "__main__":
    multiprocessing.freeze_support()
    main()
