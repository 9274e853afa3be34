#!/usr/bin/env python3
"""subprocess_kinds.py: every way in which Python's standard library starts a program.

Expected: one start a kind. By subprocess: list, shell, close_fds, preexec_fn, session and os_popen;
by the C library: os_system (pattern system) and os_posix_spawn (mechanism posix_spawn); os_fork_exec
is os.fork and exec. Which mechanism subprocess takes (vfork, fork or posix_spawn) depends on the
version and the options.
Prints {"self", "kinds": {KIND: pid}}.
"""
import json
import os
import subprocess
import sys
import tempfile

TRUE = "/bin/true"


def run(*args, **options):
    process = subprocess.Popen(*args, **options)
    if process.wait() != 0:
        sys.exit("subprocess_kinds.py: %r ended with %d" % (args, process.returncode))
    return process.pid


def wait(pid):
    _, status = os.waitpid(pid, 0)
    if status != 0:
        sys.exit("subprocess_kinds.py: wait status %#x" % status)
    return pid


def os_popen():
    with os.popen("echo $$; %s os_popen; :" % TRUE) as pipe:
        return int(pipe.read())


def os_system():
    with tempfile.NamedTemporaryFile("r") as file:
        if os.system("echo $$ > %s; %s os_system; :" % (file.name, TRUE)) != 0:
            sys.exit("subprocess_kinds.py: os.system failed")
        return int(file.read())


def os_fork_exec():
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(TRUE, ["true", "os_fork_exec"])
        finally:
            os._exit(127)
    return wait(pid)


def main():
    kinds = {
        "list": run(["true", "list"]),
        "shell": run("%s shell; :" % TRUE, shell=True),
        "close_fds": run([TRUE, "close_fds"], close_fds=False),
        "preexec_fn": run([TRUE, "preexec_fn"], preexec_fn=lambda: None),
        "session": run([TRUE, "session"], start_new_session=True),
        "os_popen": os_popen(),
        "os_system": os_system(),
        "os_fork_exec": os_fork_exec(),
        "os_posix_spawn": wait(os.posix_spawn(TRUE, ["true", "os_posix_spawn"], os.environ)),
    }
    print(json.dumps({"self": os.getpid(), "kinds": kinds}))


if __name__ == "__main__":
    main()
