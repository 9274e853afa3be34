/* fork_bomb N [MS]: tries N times to fork(2) a child that sleeps MS milliseconds (5) and ends; goes on when fork fails
 * with EAGAIN, as it does under a limit of processes.
 * Expected: a start for each child, and every fork that failed.
 * Prints {"self", "made", "failed"}, numbers. */
#include "starter.h"

int main(int argc, char **argv)
{
	long count = number(argc, argv, 1, 100), ms = number(argc, argv, 2, 5), made = 0, failed = 0, i;
	struct timespec nap = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	for (i = 0; i < count; i++) {
		pid_t child = fork();

		if (child == 0) {
			nanosleep(&nap, NULL);
			_exit(0);
		}
		if (child > 0)
			made++;
		else if (errno == EAGAIN)
			failed++;
		else
			die("fork");
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	while (wait(NULL) > 0)
		;
	printf("{\"self\": %d, \"made\": %ld, \"failed\": %ld}\n", getpid(), made, failed);
	return 0;
}
