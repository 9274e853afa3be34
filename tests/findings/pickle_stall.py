"""pickle_stall.py BYTES: hands so much over to a spawned worker. The cost is how long start() took, less what it
takes with nothing to hand over."""
import json
import multiprocessing
import os
import sys
import time


def work(data):
    sys.exit(0 if len(data) else 1)


def start(context, size):
    began = time.monotonic_ns()
    process = context.Process(target=work, args=(b"x" * size,))
    process.start()
    took = time.monotonic_ns() - began
    process.join()
    return took


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    usual = start(context, 10)
    usual = min(usual, start(context, 10))
    print(json.dumps({"self": os.getpid(), "cost_ns": max(0, start(context, int(sys.argv[1])) - usual)}))
