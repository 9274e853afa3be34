/* posix_spawn: the C library's posix_spawn(3) three times: without and with file actions and
 * attributes, and posix_spawnp(3) of a bare name.
 * Expected: three starts, mechanism posix_spawn, argv ["true", ROLE].
 * Prints {"self", "plain", "actions", "path"}. */
#include "starter.h"
#include <signal.h>
#include <spawn.h>

static void check(int error, const char *what)
{
	if (error) {
		errno = error;
		die(what);
	}
}

int main(void)
{
	char *plain_argv[] = { "true", "plain", NULL };
	char *actions_argv[] = { "true", "actions", NULL };
	char *path_argv[] = { "true", "path", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	pid_t plain, with_actions, path;

	check(posix_spawn(&plain, TRUE_PATH, NULL, NULL, plain_argv, environ), "posix_spawn");
	reap_ok(plain);

	check(posix_spawn_file_actions_init(&actions), "file_actions_init");
	check(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), "addopen");
	check(posix_spawn_file_actions_adddup2(&actions, 0, 9), "adddup2");
	check(posix_spawnattr_init(&attributes), "attr_init");
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	check(posix_spawnattr_setsigdefault(&attributes, &defaults), "setsigdefault");
	check(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF), "setflags");
	check(posix_spawn(&with_actions, TRUE_PATH, &actions, &attributes, actions_argv, environ),
	      "posix_spawn with actions");
	reap_ok(with_actions);

	check(posix_spawnp(&path, "true", NULL, NULL, path_argv, environ), "posix_spawnp");
	reap_ok(path);

	printf("{\"self\": %d, \"plain\": %d, \"actions\": %d, \"path\": %d}\n", getpid(), plain,
	       with_actions, path);
	return 0;
}
