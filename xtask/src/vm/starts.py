"""Processes by each of multiprocessing's methods, and by subprocess; says which."""

import json
import multiprocessing
import subprocess


def work():
    pass


if __name__ == "__main__":
    child = subprocess.Popen(["/opt/true", "by-python"])
    told = {"subprocess": child.pid}
    assert child.wait() == 0
    for method in ("fork", "forkserver", "spawn"):
        process = multiprocessing.get_context(method).Process(target=work)
        process.start()
        told[method] = process.pid
        process.join()
        assert process.exitcode == 0, method
    print(json.dumps({"python": told}), flush=True)
