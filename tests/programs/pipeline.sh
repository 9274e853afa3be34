#!/bin/sh
# pipeline.sh: one pipeline of three programs, with arguments that tell them apart.
# Expected: three starts with pattern shell.pipeline, all made by "self", argv
# ["/bin/cat", "/dev/null"], ["/bin/cat", "-"] and ["/bin/true", "pipeline-end"].
# Prints {"self"}.
set -e
/bin/cat /dev/null | /bin/cat - | /bin/true pipeline-end
echo "{\"self\": $$}"
