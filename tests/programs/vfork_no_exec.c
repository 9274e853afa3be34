/* vfork_no_exec: vfork(2), and the child ends with _exit(4) without ever executing anything.
 * Expected: one start, mechanism vfork, no exec, exit code 4.
 * Prints {"self", "child", "code"}. */
#include "starter.h"

int main(void)
{
	pid_t child = vfork();
	int status;

	if (child < 0)
		die("vfork");
	if (child == 0)
		_exit(4);
	status = reap(child);
	printf("{\"self\": %d, \"child\": %d, \"code\": %d}\n", getpid(), child, WEXITSTATUS(status));
	return 0;
}
