#!/bin/sh
# wrappers.sh: env, nohup, nice and timeout around one program. The first three execute the next
# in place; timeout forks and waits.
# Expected: "chain" is one start with four execs (env, nohup, nice, timeout), and made by it one with
# argv ["/bin/true", "wrapped"], pattern wrapper.
# Prints {"self", "chain"}.
set -e
/usr/bin/env WRAPPED=1 nohup nice -n 1 timeout 10 /bin/true wrapped </dev/null >/dev/null 2>&1 &
pid=$!
wait "$pid"
echo "{\"self\": $$, \"chain\": $pid}"
