"""A module that takes 150 ms of CPU to import, and says what it took: what a .pth file in site-packages may do."""
import json
import os
import time

_began = time.monotonic_ns()
_end = time.process_time() + 0.15
while time.process_time() < _end:
    pass
print(json.dumps({"self": os.getpid(), "cost_ns": time.monotonic_ns() - _began}))
