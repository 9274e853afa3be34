/* What the benchmark programs share. Each but ping_pong writes one line of JSON to the file named by its last
 * argument (a tracer that wraps it may use stdout for itself), times in nanoseconds. */
#ifndef BENCH_H
#define BENCH_H

#include "../starter.h"

__attribute__((unused)) static long long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

__attribute__((unused)) static FILE *result(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		die(path);
	return file;
}

__attribute__((unused)) static void finish(FILE *file)
{
	if (fclose(file))
		die("writing the result");
}

__attribute__((unused)) static void usage(int argc, int wanted, const char *text)
{
	if (argc != wanted) {
		dprintf(2, "usage: %s\n", text);
		_exit(2);
	}
}

#endif
