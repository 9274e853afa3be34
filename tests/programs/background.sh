#!/bin/sh
# background.sh: a program in the background, waited for.
# Expected: one start "background", argv ["/bin/sleep", "0.05"], pattern shell.background.
# Prints {"self", "background"}.
set -e
/bin/sleep 0.05 &
pid=$!
wait "$pid"
echo "{\"self\": $$, \"background\": $pid}"
