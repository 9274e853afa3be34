"""loop.py HOW MS TIMES: an event loop that sleeps for so long so many times (`sleep`), or that waits for the byte of a
child that computes as long each time, with a time-out that is never over (`event`); a condition's time-out as often
(`condition`), or one that another thread fulfils before (`fulfilled`); three threads that sleep as often, each a little
longer than the one before (`threads`); a child that computes as long and is asked again and again (`popen`), or waited for
(`child`). The cost is what that took."""
import asyncio
import json
import os
import subprocess
import sys
import threading
import time


async def event(ms):
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    reader, writer = os.pipe()
    if os.fork() == 0:
        until = time.process_time() + ms / 1000
        while time.process_time() < until:
            pass
        os.write(writer, b"x")
        os._exit(0)
    loop.add_reader(reader, came.set)
    await asyncio.wait_for(came.wait(), 60)
    loop.remove_reader(reader)
    os.wait()


def fulfilled(ms):
    came = threading.Event()

    def compute():
        until = time.thread_time() + ms / 1000
        while time.thread_time() < until:
            pass
        came.set()

    other = threading.Thread(target=compute)
    other.start()
    came.wait(60)
    other.join()


def sleeping(ms, times):
    for _ in range(times):
        time.sleep(ms / 1000)


def threaded(how, ms, times):
    began = time.monotonic_ns()
    if how == "threads":
        threads = [threading.Thread(target=sleeping, args=(ms + 3 * n, times)) for n in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    for _ in range(0 if how == "threads" else times):
        if how == "fulfilled":
            fulfilled(ms)
        elif how == "condition":
            threading.Event().wait(ms / 1000)
        else:
            computing = f"import time\nwhile time.process_time() < {ms / 1000}: pass"
            child = subprocess.Popen([sys.executable, "-c", computing])
            child.wait(timeout=60 if how == "popen" else None)
    print(json.dumps({"self": os.getpid(), "cost_ns": time.monotonic_ns() - began}))


async def main(how, ms, times):
    began = time.monotonic_ns()
    for _ in range(times):
        await (asyncio.sleep(ms / 1000) if how == "sleep" else event(ms))
    print(json.dumps({"self": os.getpid(), "cost_ns": time.monotonic_ns() - began}))


HOW, MS, TIMES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if HOW in ("sleep", "event"):
    asyncio.run(main(HOW, MS, TIMES))
else:
    threaded(HOW, MS, TIMES)
