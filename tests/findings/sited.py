"""sited.py BASE: starts another interpreter with a user's packages there, which says what their .pth file cost (see
xtask/src/findings.rs). The first interpreter sees to it that the second is watched from its beginning."""
import os
import subprocess
import sys

TELL = """import json, os, sys
print(json.dumps({"self": os.getpid(), "cost_ns": getattr(sys, "pth_ns", 0)}))"""
subprocess.run([sys.executable, "-c", TELL], env={**os.environ, "PYTHONUSERBASE": sys.argv[1]}, check=True)
