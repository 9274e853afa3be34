/* leader_exits_first: in a child process the leader ends with pthread_exit; 30 ms later its other
 * thread forks a process that executes /bin/true, and then ends the child with code 7.
 * Expected: the child's start lasts until its exit with code 7 (not until its leader's end); the
 * grandchild's creator is the child.
 * Prints {"self", "child", "grandchild", "code"}. */
#include "starter.h"
#include <pthread.h>

static int tell;

static void *survive(void *unused)
{
	pid_t grandchild;

	(void)unused;
	sleep_ms(30);
	grandchild = fork();
	if (grandchild < 0)
		die("fork");
	if (grandchild == 0)
		exec_true("leader_exits_first");
	send_pid(tell, grandchild);
	reap_ok(grandchild);
	_exit(7);
}

int main(void)
{
	pid_t child, grandchild;
	int fds[2], status;

	make_pipe(fds);
	tell = fds[1];
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		pthread_t other;

		if (pthread_create(&other, NULL, survive, NULL))
			_exit(1);
		pthread_exit(NULL);
	}
	grandchild = receive_pid(fds[0]);
	status = reap(child);
	printf("{\"self\": %d, \"child\": %d, \"grandchild\": %d, \"code\": %d}\n", getpid(), child,
	       grandchild, WEXITSTATUS(status));
	return WEXITSTATUS(status) == 7 ? 0 : 1;
}
