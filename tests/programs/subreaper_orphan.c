/* subreaper_orphan: the starter is a subreaper (PR_SET_CHILD_SUBREAPER). Its child forks a
 * grandchild and ends; the grandchild waits until it has been given to the starter, and then
 * executes /bin/true.
 * Expected: the orphan's creator is "child", which ended before the orphan's exec.
 * Prints {"self", "child", "orphan"}. */
#include "starter.h"
#include <sys/prctl.h>

int main(void)
{
	pid_t self = getpid(), child, orphan;
	int fds[2];

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		die("PR_SET_CHILD_SUBREAPER");
	make_pipe(fds);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		orphan = fork();
		if (orphan < 0)
			die("fork");
		if (orphan == 0) {
			while (getppid() != self)
				sleep_ms(1);
			sleep_ms(20);
			exec_true("subreaper_orphan");
		}
		send_pid(fds[1], orphan);
		_exit(0);
	}
	orphan = receive_pid(fds[0]);
	reap_ok(child);
	reap_ok(orphan);
	printf("{\"self\": %d, \"child\": %d, \"orphan\": %d}\n", self, child, orphan);
	return 0;
}
