/* empty_argv: a child calls execve(2) with no arguments at all, not even the program's name.
 * Expected: one start; argv [""] from Linux 5.18 on, where the kernel puts an empty string in its
 * place, [] before.
 * Prints {"self", "child"}. */
#include "starter.h"

int main(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		/* The raw call, with an array that the compiler does not check. */
		char *none[] = { NULL };

		syscall(SYS_execve, TRUE_PATH, none, environ);
		_exit(127);
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
