/* prefork [WORKERS [MS]]: a master forks WORKERS (4) that live for MS milliseconds (200) without
 * exec. SIGTERM to the master ends all of them early.
 * Expected: one start a worker, mechanism fork, pattern prefork_worker, one group of WORKERS.
 * Prints {"self", "workers": [...]} as soon as all workers exist, before they end. */
#include "starter.h"
#include <signal.h>

#define MOST 256

static volatile sig_atomic_t ending;

static void end(int signal)
{
	(void)signal;
	ending = 1;
}

int main(int argc, char **argv)
{
	long count = number(argc, argv, 1, 4), ms = number(argc, argv, 2, 200);
	struct sigaction action = { .sa_handler = end };
	pid_t workers[MOST];
	int told = 0;
	long i, left;

	if (count > MOST) {
		dprintf(2, "prefork: at most %d workers\n", MOST);
		return 2;
	}
	for (i = 0; i < count; i++) {
		workers[i] = fork();
		if (workers[i] < 0)
			die("fork");
		if (workers[i] == 0) {
			sleep_ms(ms);
			_exit(0);
		}
	}
	/* Only the master has the handler: the workers end by the signal's default. */
	if (sigaction(SIGTERM, &action, NULL) < 0)
		die("sigaction");
	printf("{\"self\": %d, \"workers\": [", getpid());
	for (i = 0; i < count; i++)
		printf("%s%d", i ? ", " : "", workers[i]);
	printf("]}\n");
	fflush(stdout);
	for (left = count; left > 0;) {
		if (wait(NULL) > 0) {
			left--;
		} else if (errno != EINTR) {
			die("wait");
		}
		if (ending && !told) {
			told = 1;
			for (i = 0; i < count; i++)
				kill(workers[i], SIGTERM);
		}
	}
	return 0;
}
