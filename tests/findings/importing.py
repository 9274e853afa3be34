"""importing.py MODULE [FOLDER]: imports a module (from that folder), and says what that took."""
import json
import os
import sys
import time

if len(sys.argv) > 2:
    sys.path.insert(0, sys.argv[2])
began = time.monotonic_ns()
__import__(sys.argv[1])
print(json.dumps({"self": os.getpid(), "cost_ns": time.monotonic_ns() - began}))
