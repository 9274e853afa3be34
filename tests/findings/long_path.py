"""long_path.py N: imports modules with N folders in front of sys.path that are not there."""
import json
import os
import sys
import time

sys.path[:0] = ["/nowhere/%d" % n for n in range(int(sys.argv[1]))]
began = time.monotonic_ns()
for name in ["argparse", "csv", "decimal", "difflib", "fractions", "gzip", "ipaddress", "tarfile"]:
    __import__(name)
print(json.dumps({"self": os.getpid(), "cost_ns": time.monotonic_ns() - began}))
