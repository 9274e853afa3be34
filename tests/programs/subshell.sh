#!/bin/sh
# subshell.sh: a subshell, which is a fork without exec, that runs one program.
# Expected: a start "subshell" without exec, made by "self", and made by it one with argv
# ["/bin/true", "in-subshell"].
# Prints {"self", "subshell"}. The subshell reads its own pid with a builtin, so nothing else starts.
set -e
file=$(mktemp)
trap 'rm -f "$file"' EXIT
(
	read -r pid rest </proc/self/stat
	echo "$pid" >"$file"
	/bin/true in-subshell
	:
)
read -r subshell <"$file"
echo "{\"self\": $$, \"subshell\": $subshell}"
