/* fork_exit [CODE]: fork(2), and the child ends at once with _exit(CODE), 0 if not given.
 * Expected: one start, mechanism fork, no exec, ready at exit.
 * Prints {"self", "child", "code"}. */
#include "starter.h"

int main(int argc, char **argv)
{
	long code = number(argc, argv, 1, 0);
	pid_t child = fork();
	int status;

	if (child < 0)
		die("fork");
	if (child == 0)
		_exit((int)code);
	status = reap(child);
	printf("{\"self\": %d, \"child\": %d, \"code\": %d}\n", getpid(), child, WEXITSTATUS(status));
	return 0;
}
