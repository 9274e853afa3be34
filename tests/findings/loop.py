"""loop.py HOW MS TIMES: an event loop that sleeps for so long so many times (`sleep`), or that waits for the byte of a
child that computes as long each time, with a time-out that is never over (`event`). The cost is what that took."""
import asyncio
import json
import os
import sys
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


async def main(how, ms, times):
    began = time.monotonic_ns()
    for _ in range(times):
        await (asyncio.sleep(ms / 1000) if how == "sleep" else event(ms))
    print(json.dumps({"self": os.getpid(), "cost_ns": time.monotonic_ns() - began}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
