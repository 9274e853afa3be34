/* killed: children that are killed at different moments of their starts.
 *   unrun: stopped by its CPU being taken: parent and child share one CPU, the parent kills it before it waits
 *   setup: kills itself between fork(2) and exec
 *   app:   kills itself in its main(), after execv(3) of this program
 * Expected: each start ends with signal 9; the last phase of setup and app is that one.
 * Prints {"self", "unrun", "setup", "app"}. */
#include "starter.h"
#include <sched.h>
#include <signal.h>

static void reap_killed(pid_t pid)
{
	int status = reap(pid);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		fprintf(stderr, "killed: child %d ended with wait status %#x\n", pid, status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char *again[] = { argv[0], "app", NULL };
	pid_t unrun, setup, app;
	cpu_set_t all, one;

	if (argc > 1)
		raise(SIGKILL);
	if (sched_getaffinity(0, sizeof all, &all) < 0)
		die("sched_getaffinity");
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof one, &one) < 0)
		die("sched_setaffinity");
	unrun = fork();
	if (unrun < 0)
		die("fork");
	if (unrun == 0)
		for (;;)
			pause();
	kill(unrun, SIGKILL);
	reap_killed(unrun);
	if (sched_setaffinity(0, sizeof all, &all) < 0)
		die("sched_setaffinity");
	setup = fork();
	if (setup < 0)
		die("fork");
	if (setup == 0)
		raise(SIGKILL);
	reap_killed(setup);
	app = fork();
	if (app < 0)
		die("fork");
	if (app == 0) {
		execv("/proc/self/exe", again);
		_exit(126);
	}
	reap_killed(app);
	printf("{\"self\": %d, \"unrun\": %d, \"setup\": %d, \"app\": %d}\n", getpid(), unrun, setup, app);
	return 0;
}
