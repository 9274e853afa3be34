/* short_lived [N [BYTES]]: N times (50), one after the other, posix_spawn(3) of /bin/true and wait.
 * Expected: N starts, each with argv ["true", "short_lived"], its executable's path and exit code 0;
 * with BYTES a third argument of as many bytes.
 * Prints {"self", "children": [...]}. */
#include "starter.h"
#include <spawn.h>

int main(int argc, char **argv)
{
	char *arguments[] = { "true", "short_lived", NULL, NULL };
	long count = number(argc, argv, 1, 50), bytes = number(argc, argv, 2, 0), i;
	pid_t *children = calloc((size_t)count + 1, sizeof *children);

	if (!children)
		die("calloc");
	if (bytes) {
		arguments[2] = calloc((size_t)bytes + 1, 1);
		if (!arguments[2])
			die("calloc");
		memset(arguments[2], 'x', (size_t)bytes);
	}
	for (i = 0; i < count; i++) {
		errno = posix_spawn(&children[i], TRUE_PATH, NULL, NULL, arguments, environ);
		if (errno)
			die("posix_spawn");
		reap_ok(children[i]);
	}
	printf("{\"self\": %d, \"children\": [", getpid());
	for (i = 0; i < count; i++)
		printf("%s%d", i ? ", " : "", children[i]);
	printf("]}\n");
	return 0;
}
