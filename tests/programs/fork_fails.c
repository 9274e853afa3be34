/* fork_fails: a child gives up root (for uid 65534, where it has it), sets RLIMIT_NPROC to 0 and
 * tries to fork: EAGAIN.
 * Expected: a start for "attempter" alone, whose record says that a fork failed.
 * Prints {"self", "attempter", "error"}. */
#include "starter.h"
#include <sys/resource.h>

#define NOBODY 65534

int main(void)
{
	pid_t attempter;
	int fds[2], error = 0;

	make_pipe(fds);
	attempter = fork();
	if (attempter < 0)
		die("fork");
	if (attempter == 0) {
		struct rlimit none = { 0, 0 };
		pid_t child;

		/* The limit does not hold for root. */
		if (geteuid() == 0 &&
		    (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
			die("setresuid");
		if (setrlimit(RLIMIT_NPROC, &none) < 0)
			die("setrlimit");
		child = fork();
		if (child == 0)
			_exit(0);
		send_pid(fds[1], child < 0 ? errno : 0);
		if (child > 0)
			reap(child);
		_exit(0);
	}
	error = receive_pid(fds[0]);
	reap_ok(attempter);
	if (error != EAGAIN) {
		dprintf(2, "fork_fails: expected EAGAIN, but got %s\n", strerror(error));
		return 1;
	}
	printf("{\"self\": %d, \"attempter\": %d, \"error\": \"EAGAIN\"}\n", getpid(), attempter);
	return 0;
}
