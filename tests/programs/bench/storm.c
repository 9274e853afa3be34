/* storm PARENTS N BYTES MARK OUT: PARENTS processes at once, each of which starts /bin/true N times
 * by posix_spawn(3) as fast as it can, argv ["true", MARK], and a third argument that brings the
 * argument area to BYTES if it is smaller. Ends when all have; the whole wall time. */
#include "bench.h"
#include <spawn.h>

static void start_all(long count, char *const arguments[])
{
	long i;

	for (i = 0; i < count; i++) {
		pid_t child;

		errno = posix_spawn(&child, TRUE_PATH, NULL, NULL, arguments, environ);
		if (errno)
			die("posix_spawn");
		reap_ok(child);
	}
}

int main(int argc, char **argv)
{
	char *arguments[] = { "true", NULL, NULL, NULL };
	long parents, count, bytes, i;
	long long begin, end;
	FILE *out;

	usage(argc, 6, "storm PARENTS N BYTES MARK OUT");
	parents = number(argc, argv, 1, 0);
	count = number(argc, argv, 2, 0);
	bytes = number(argc, argv, 3, 0);
	arguments[1] = argv[4];
	out = result(argv[5]);
	bytes -= (long)(strlen(arguments[0]) + strlen(arguments[1]) + 2);
	if (bytes > 0) {
		arguments[2] = malloc((size_t)bytes);
		if (!arguments[2])
			die("malloc");
		memset(arguments[2], 'x', (size_t)bytes - 1);
		arguments[2][bytes - 1] = 0;
	}
	begin = now(CLOCK_MONOTONIC);
	for (i = 0; i < parents; i++) {
		pid_t parent = fork();

		if (parent < 0)
			die("fork");
		if (parent == 0) {
			start_all(count, arguments);
			_exit(0);
		}
	}
	for (i = 0; i < parents; i++) {
		int status;

		if (wait(&status) < 0)
			die("wait");
		if (status != 0) {
			dprintf(2, "storm: a parent failed\n");
			return 1;
		}
	}
	end = now(CLOCK_MONOTONIC);
	fprintf(out, "{\"ns\": %lld, \"n\": %ld}\n", end - begin, parents * count);
	finish(out);
	return 0;
}
