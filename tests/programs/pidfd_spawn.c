/* pidfd_spawn: glibc's pidfd_spawn(3) and pidfd_spawnp(3), from 2.39 on.
 * Expected: two starts, mechanism posix_spawn with CLONE_PIDFD, argv ["true", ROLE].
 * Prints {"self", "plain", "path"}. */
#include "starter.h"
#include <spawn.h>
#include <sys/pidfd.h>

static pid_t reap_pidfd(int error, int pidfd, const char *what)
{
	siginfo_t info;
	pid_t pid;

	if (error) {
		errno = error;
		die(what);
	}
	pid = pidfd_getpid(pidfd);
	if (pid < 0)
		die("pidfd_getpid");
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 || info.si_status != 0)
		die("waitid");
	return pid;
}

int main(void)
{
	char *plain_argv[] = { "true", "plain", NULL };
	char *path_argv[] = { "true", "path", NULL };
	pid_t plain, path;
	int pidfd, error;

	error = pidfd_spawn(&pidfd, TRUE_PATH, NULL, NULL, plain_argv, environ);
	plain = reap_pidfd(error, pidfd, "pidfd_spawn");
	error = pidfd_spawnp(&pidfd, "true", NULL, NULL, path_argv, environ);
	path = reap_pidfd(error, pidfd, "pidfd_spawnp");
	printf("{\"self\": %d, \"plain\": %d, \"path\": %d}\n", getpid(), plain, path);
	return 0;
}
