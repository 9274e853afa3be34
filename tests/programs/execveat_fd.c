/* execveat_fd: a child executes /bin/true through a descriptor: execveat(2) with AT_EMPTY_PATH.
 * Expected: one start; exe is the real path of /bin/true, the exec's path /dev/fd/N.
 * Prints {"self", "child", "fd"}. */
#include "starter.h"

int main(void)
{
	int fd = open(TRUE_PATH, O_PATH | O_CLOEXEC);
	pid_t child;

	if (fd < 0)
		die("open " TRUE_PATH);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		char *argv[] = { "true", "execveat_fd", NULL };

		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		_exit(127);
	}
	reap_ok(child);
	printf("{\"self\": %d, \"child\": %d, \"fd\": %d}\n", getpid(), child, fd);
	return 0;
}
