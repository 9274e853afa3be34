"""A server that takes long to start."""
import socket
import time

import settings


def cache(tries=3):
    """The cache on this machine: it may come up later than we do."""
    for _ in range(tries):
        try:
            return socket.create_connection(("127.0.0.1", 6399), timeout=1)
        except OSError:
            time.sleep(0.2)
    return None


cache()
server = socket.create_server(("127.0.0.1", 0))
print(settings.NAME, "listens on port", server.getsockname()[1], flush=True)
server.accept()
