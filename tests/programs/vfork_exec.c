/* vfork_exec: vfork(2), and the child executes /bin/true.
 * Expected: one start, primitive vfork (clone on machines without the call), mechanism vfork_exec.
 * Prints {"self", "child"}. */
#include "starter.h"

int main(void)
{
	static char *const arguments[] = { "true", "vfork_exec", NULL };
	pid_t child = vfork();

	if (child < 0)
		die("vfork");
	if (child == 0) {
		execve(TRUE_PATH, arguments, environ);
		_exit(127);
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
