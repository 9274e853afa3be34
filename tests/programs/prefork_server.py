#!/usr/bin/env python3
"""prefork_server.py [WORKERS [MS]]: a pre-fork server on a loopback port of its own.

The master listens and forks WORKERS (3) copies that accept on the shared socket; each answers one
request with its pid and ends. The master is its own client, after MS milliseconds (0).
Expected: one start a worker, mechanism fork, pattern prefork_worker, one group of WORKERS.
Prints {"self", "port", "workers": [...], "answers": [...]}, both lists sorted, and the same.
"""
import json
import os
import socket
import sys
import time


def serve(listener):
    connection, _ = listener.accept()
    with connection:
        connection.recv(64)
        connection.sendall(b"%d" % os.getpid())


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    listener = socket.socket()
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
    port = listener.getsockname()[1]
    time.sleep(int(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0)
    answers = []
    for _ in workers:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"hello\n")
            answers.append(int(client.recv(64)))
    for pid in workers:
        os.waitpid(pid, 0)
    print(json.dumps({
        "self": os.getpid(),
        "port": port,
        "workers": sorted(workers),
        "answers": sorted(answers),
    }))


if __name__ == "__main__":
    main()
