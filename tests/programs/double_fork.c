/* double_fork [MS]: the classic way into the background: fork, setsid, fork, and the middle ends;
 * the last one lives on for MS milliseconds (100) with another parent.
 * Expected: the daemon's start has pattern double_fork, no exec, and its creator "middle" is gone.
 * Prints {"self", "middle", "daemon"} when the daemon is gone. */
#include "starter.h"

int main(int argc, char **argv)
{
	long ms = number(argc, argv, 1, 100);
	pid_t middle, daemon_pid;
	int fds[2];
	char byte;

	make_pipe(fds);
	middle = fork();
	if (middle < 0)
		die("fork");
	if (middle == 0) {
		pid_t creator = getpid();

		close(fds[0]);
		if (setsid() < 0)
			die("setsid");
		daemon_pid = fork();
		if (daemon_pid < 0)
			die("second fork");
		if (daemon_pid == 0) {
			send_pid(fds[1], getpid());
			outlive(creator);
			sleep_ms(ms);
			_exit(0);
		}
		_exit(0);
	}
	close(fds[1]);
	reap_ok(middle);
	daemon_pid = receive_pid(fds[0]);
	if (read(fds[0], &byte, 1) != 0)
		die("waiting for the daemon's end");
	printf("{\"self\": %d, \"middle\": %d, \"daemon\": %d}\n", getpid(), middle, daemon_pid);
	return 0;
}
