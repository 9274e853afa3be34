#!/bin/sh
# jobs.sh: every kind of a shell's jobs, once each; run it with the shell in question.
# Expected: argv and pattern
#   /bin/true command        shell.command
#   /bin/echo left, /bin/cat - (in one pipeline)   shell.pipeline
#   /bin/true in-subshell    shell.command, made by a copy of the shell: shell.subshell
#   /bin/echo substituted    shell.substitution (bash and busybox) or made by a copy that is
#   /bin/sleep 0.021         shell.background
# Prints {"self"}.
set -e
/bin/true command
/bin/echo left | /bin/cat - >/dev/null
(
	/bin/true in-subshell
	:
)
word=$(/bin/echo substituted)
/bin/sleep 0.021 &
wait $!
test "$word" = substituted
echo "{\"self\": $$}"
