#!/usr/bin/env python3
"""demo.py: what `cargo xtask demo` records.

A small program that starts processes in the ways that real ones do: a pool of workers by each of
multiprocessing's three methods (Process, Pool and ProcessPoolExecutor), a helper program, a shell
command and a pre-fork server with three workers that answer one request each on loopback. Takes a
few seconds at most; needs CPython 3.8 or newer, and nothing but its standard library.
"""
import concurrent.futures
import json
import multiprocessing
import os
import socket
import subprocess
import sys


def count_primes(limit):
    """A little work, so that workers have something to do."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))


def answer(results, limit):
    results.put(count_primes(limit))


def by_process(method):
    """Two single processes."""
    context = multiprocessing.get_context(method)
    results = context.Queue()
    workers = [context.Process(target=answer, args=(results, 2000)) for _ in range(2)]
    for worker in workers:
        worker.start()
    total = sum(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return total


def by_pool(method):
    """A pool of three."""
    context = multiprocessing.get_context(method)
    with context.Pool(3) as pool:
        total = sum(pool.map(count_primes, [1000] * 6))
        pool.close()
        pool.join()
    return total


def by_executor(method):
    """A ProcessPoolExecutor of two."""
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        return sum(executor.map(count_primes, [1000] * 4))


def helper():
    """A program and a shell command, as services run them to find out where they are."""
    kernel = subprocess.run(["uname", "-r"], stdout=subprocess.PIPE, check=True).stdout
    lines = subprocess.run(
        "cat /proc/self/status | grep -c Cap", shell=True, stdout=subprocess.PIPE, check=True
    ).stdout
    return kernel.decode().strip(), int(lines)


def serve(listener):
    connection, _ = listener.accept()
    with connection:
        connection.recv(64)
        connection.sendall(b"served by %d\n" % os.getpid())


def prefork_server(count):
    """A master that listens and forks its workers; it is its own client."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(count)
        workers = []
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                try:
                    serve(listener)
                finally:
                    os._exit(0)
            workers.append(pid)
        answers = set()
        for _ in workers:
            with socket.create_connection(listener.getsockname(), timeout=30) as client:
                client.sendall(b"hello\n")
                answers.add(client.recv(64))
        for pid in workers:
            os.waitpid(pid, 0)
    return len(answers)


def main():
    if sys.version_info < (3, 8):
        sys.exit("demo.py needs CPython 3.8 or newer; this is " + sys.version.split()[0])
    kernel, _ = helper()
    print(json.dumps({
        "python": sys.version.split()[0],
        "kernel": kernel,
        "prefork_server": prefork_server(3),
        "fork": by_pool("fork"),
        "spawn": by_executor("spawn"),
        "forkserver": by_process("forkserver"),
    }))


if __name__ == "__main__":
    main()
