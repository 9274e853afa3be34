# Starts of many kinds; each program says which processes it made.
for program in fork_exec posix_spawn vfork_exec clone3_exec failed_execs exec_from_thread static; do
	$program || echo "$program ended with $?" >&2
done
prefork 4 200
echo one | cat | cat >/dev/null
PYTHON -S -I /starts.py || echo "starts.py ended with $?" >&2
