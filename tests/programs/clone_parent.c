/* clone_parent: a middle process calls clone(2) with CLONE_PARENT, so the new process is the
 * middle's sibling, a child of the starter; it executes /bin/true.
 * Expected: two starts; the child's creator is "middle" although the kernel's parent is "self".
 * Prints {"self", "middle", "child"}. */
#include "starter.h"
#include <sched.h>
#include <signal.h>

int main(void)
{
	pid_t middle, child;
	int fds[2];

	make_pipe(fds);
	middle = fork();
	if (middle < 0)
		die("fork");
	if (middle == 0) {
		/* Stack 0: the child goes on with a copy of this one, as after fork. */
		child = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (child < 0)
			die("clone(CLONE_PARENT)");
		if (child == 0)
			exec_true("clone_parent");
		send_pid(fds[1], child);
		_exit(0);
	}
	child = receive_pid(fds[0]);
	reap_ok(middle);
	reap_ok(child);
	printf("{\"self\": %d, \"middle\": %d, \"child\": %d}\n", getpid(), middle, child);
	return 0;
}
