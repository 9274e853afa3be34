/* fork_enomem: a child moves its future children into a new PID namespace, whose first process ends
 * at once; from then on nothing can be created in there, and fork fails with ENOMEM. Needs root.
 * Expected: starts for "attempter" and "init", and a failed fork of the attempter.
 * Prints {"self", "attempter", "init", "error"}. */
#include "starter.h"
#include <sched.h>

int main(void)
{
	pid_t attempter, init;
	int fds[2], error;

	make_pipe(fds);
	attempter = fork();
	if (attempter < 0)
		die("fork");
	if (attempter == 0) {
		pid_t child;

		if (unshare(CLONE_NEWPID) < 0)
			die("unshare(CLONE_NEWPID), which needs root");
		child = fork();
		if (child < 0)
			die("fork of the namespace's first process");
		if (child == 0)
			_exit(0);
		reap_ok(child);
		send_pid(fds[1], child);
		child = fork();
		if (child == 0)
			_exit(0);
		send_pid(fds[1], child < 0 ? errno : 0);
		_exit(0);
	}
	init = receive_pid(fds[0]);
	error = receive_pid(fds[0]);
	reap_ok(attempter);
	if (error != ENOMEM) {
		dprintf(2, "fork_enomem: expected ENOMEM, but got %s\n", strerror(error));
		return 1;
	}
	printf("{\"self\": %d, \"attempter\": %d, \"init\": %d, \"error\": \"ENOMEM\"}\n", getpid(),
	       attempter, init);
	return 0;
}
