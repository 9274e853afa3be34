/* spawn_true N OUT: N times posix_spawn(3) of /bin/true and wait; the whole loop's wall time. */
#include "bench.h"
#include <spawn.h>

int main(int argc, char **argv)
{
	char *arguments[] = { "true", NULL };
	long count, i;
	long long begin, end;
	FILE *out;

	usage(argc, 3, "spawn_true N OUT");
	count = number(argc, argv, 1, 0);
	out = result(argv[2]);
	begin = now(CLOCK_MONOTONIC);
	for (i = 0; i < count; i++) {
		pid_t child;

		errno = posix_spawn(&child, TRUE_PATH, NULL, NULL, arguments, environ);
		if (errno)
			die("posix_spawn");
		reap_ok(child);
	}
	end = now(CLOCK_MONOTONIC);
	fprintf(out, "{\"ns\": %lld, \"n\": %ld}\n", end - begin, count);
	finish(out);
	return 0;
}
