/* masquerade: children that look like Python's multiprocessing and are not.
 *   spawn        /bin/true with the arguments of a spawned worker
 *   tracker      /bin/true with those of the resource tracker
 *   forkserver   /bin/true with those of the fork server
 *   copy         a copy of this program, which calls itself python3 (comm), and does what a worker by
 *                fork does to its descriptors: two pipes, and /dev/null in the place of one's end
 * Expected: no pattern of multiprocessing in any of them that is certain.
 * Prints a pid for each role and for "self". */
#include "starter.h"
#include <sys/prctl.h>

static pid_t run(char *code, char *last)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		char *argv[] = { "/usr/bin/python3", "-c", code, last, NULL };

		execv(TRUE_PATH, argv);
		die("execv");
	}
	reap_ok(child);
	return child;
}

int main(void)
{
	pid_t spawn = run("from multiprocessing.spawn import spawn_main; "
			  "spawn_main(tracker_fd=5, pipe_handle=7)", "--multiprocessing-fork");
	pid_t tracker = run("from multiprocessing.resource_tracker import main;main(3)", NULL);
	pid_t forkserver = run("from multiprocessing.forkserver import main; main(5, 6, ['__main__'])", NULL);
	pid_t copy;
	int first[2], second[2];

	if (prctl(PR_SET_NAME, "python3") < 0)
		die("PR_SET_NAME");
	make_pipe(first);
	make_pipe(second);
	copy = fork();
	if (copy < 0)
		die("fork");
	if (copy == 0) {
		close(first[0]);
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) != first[0])
			_exit(1);
		_exit(0);
	}
	reap_ok(copy);
	printf("{\"self\": %d, \"spawn\": %d, \"tracker\": %d, \"forkserver\": %d, \"copy\": %d}\n", getpid(),
	       spawn, tracker, forkserver, copy);
	return 0;
}
