/* kill_sweep [N [STEP_NS]]: N children (200), one after the other, by fork(2) and execv(3) of /bin/true; the Nth is
 * killed N times STEP_NS (10000) after its fork began, wherever in its start that finds it.
 * Expected: N starts, the first ones killed early, the last ones late or not at all.
 * Prints {"self", "children": [...], "killed": how many}. */
#include "starter.h"
#include <signal.h>
#include <time.h>

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	char *arguments[] = { "true", "kill_sweep", NULL };
	long count = number(argc, argv, 1, 200), step = number(argc, argv, 2, 10000), killed = 0, i;
	pid_t *children = calloc((size_t)count + 1, sizeof *children);

	if (!children)
		die("calloc");
	for (i = 0; i < count; i++) {
		long long end = now() + i * step;
		int status;

		children[i] = fork();
		if (children[i] < 0)
			die("fork");
		if (children[i] == 0) {
			execv(TRUE_PATH, arguments);
			_exit(126);
		}
		while (now() < end)
			;
		/* It may have ended: it is not reaped, so that the number is still its own. */
		kill(children[i], SIGKILL);
		status = reap(children[i]);
		killed += WIFSIGNALED(status);
	}
	printf("{\"self\": %d, \"killed\": %ld, \"children\": [", getpid(), killed);
	for (i = 0; i < count; i++)
		printf("%s%d", i ? ", " : "", children[i]);
	printf("]}\n");
	return 0;
}
