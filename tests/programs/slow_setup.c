/* slow_setup [MS]: a child by fork and one by vfork each sleep MS milliseconds (100) before they
 * execute /bin/true.
 * Expected: the sleep is in the phase setup, of both.
 * Prints {"self", "forked", "vforked"}. */
#include "starter.h"

/* A function of its own: what lives across a vfork had better not be in registers. */
__attribute__((noinline)) static pid_t by_vfork(long ms)
{
	static char *const arguments[] = { "true", "vforked", NULL };
	pid_t child = vfork();

	if (child < 0)
		die("vfork");
	if (child == 0) {
		sleep_ms(ms);
		execve(TRUE_PATH, arguments, environ);
		_exit(127);
	}
	reap_ok(child);
	return child;
}

int main(int argc, char **argv)
{
	long ms = number(argc, argv, 1, 100);
	pid_t forked, vforked;

	forked = fork();
	if (forked < 0)
		die("fork");
	if (forked == 0) {
		sleep_ms(ms);
		exec_true("forked");
	}
	reap_ok(forked);
	vforked = by_vfork(ms);
	printf("{\"self\": %d, \"forked\": %d, \"vforked\": %d}\n", getpid(), forked, vforked);
	return 0;
}
