/* memfd_exec: /bin/true is copied into a memfd, and a child executes that: a program without a file.
 * Expected: one start; exe names the memfd, exit code 0.
 * Prints {"self", "child"}. */
#include "starter.h"
#include <sys/mman.h>
#include <sys/sendfile.h>

int main(void)
{
	int from = open(TRUE_PATH, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("startrace-memfd", MFD_CLOEXEC);
	ssize_t copied;
	pid_t child;

	if (from < 0 || to < 0)
		die("memfd_create");
	while ((copied = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	if (copied < 0)
		die("sendfile");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		char *argv[] = { "true", "memfd_exec", NULL };

		fexecve(to, argv, environ);
		_exit(127);
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d}\n", getpid(), child);
	return 0;
}
