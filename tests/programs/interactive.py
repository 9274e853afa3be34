# interactive.py SHELL [OPTION...]: an interactive shell on a terminal of its own, to which lines are typed,
# each at a prompt: commands and jobs in the foreground and, under job control, behind.
import os
import pty
import select
import sys
import time

LINES = [
    "/bin/true command",
    "/bin/sleep 0.021 &",
    "( /bin/true in-front; /bin/true in-front-too; )",
    "( /bin/true behind; /bin/true behind-too; ) &",
    "wait",
    "exit",
]
PROMPT = b"# "
LIMIT = 20

pid, terminal = pty.fork()
if pid == 0:
    os.environ["PS1"] = PROMPT.decode()
    os.environ["TERM"] = "dumb"
    os.execvp(sys.argv[1], sys.argv[1:])


def read():
    """What the shell writes next; nothing at its end."""
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        sys.exit("no prompt within %d s; it wrote %r" % (LIMIT, seen))
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: nobody has the other side open any more
        return b""


for line in LINES:
    deadline = time.monotonic() + LIMIT
    seen = b""
    while PROMPT not in seen:
        more = read()
        if not more:
            sys.exit("the shell ended before %r" % line)
        seen += more
    os.write(terminal, line.encode() + b"\n")
while read():
    pass
_, status = os.waitpid(pid, 0)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
