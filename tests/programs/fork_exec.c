/* fork_exec: fork(2), and the child executes /bin/true.
 * Expected: one start, mechanism fork_exec, argv ["true", "fork_exec"], exit code 0.
 * Prints {"self", "child"}. */
#include "starter.h"

int main(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0)
		exec_true("fork_exec");
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
