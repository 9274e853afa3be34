"""sited.py: says what a .pth file cost, where there was one that counts (see xtask/src/findings.rs)."""
import json
import os
import sys

print(json.dumps({"self": os.getpid(), "cost_ns": getattr(sys, "pth_ns", 0)}))
