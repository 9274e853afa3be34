/* posix_spawn_sh: posix_spawn(3) of /bin/sh with the very arguments that system(3) and popen(3) write,
 * while INT and QUIT are not ignored and no descriptor is replaced: it is neither.
 * Expected: one start, mechanism posix_spawn, argv ["sh", "-c", ...], no pattern.
 * Prints {"self", "plain"}. */
#include "starter.h"
#include <spawn.h>

int main(void)
{
	char *argv[] = { "sh", "-c", "/bin/true by-hand; :", NULL };
	pid_t plain;

	errno = posix_spawn(&plain, "/bin/sh", NULL, NULL, argv, environ);
	if (errno)
		die("posix_spawn");
	reap_ok(plain);
	printf("{\"self\": %d, \"plain\": %d}\n", getpid(), plain);
	return 0;
}
