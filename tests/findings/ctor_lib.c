/* The library of ctor.c. */
#include <stdlib.h>
#include <time.h>

long long ctor_cost_ns;

static long long now(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* glibc hands the arguments over. */
__attribute__((constructor)) static void begin(int argc, char **argv)
{
	long long began = now(CLOCK_BOOTTIME), end;

	if (argc < 2)
		return;
	end = now(CLOCK_THREAD_CPUTIME_ID) + atol(argv[1]) * 1000000LL;
	while (now(CLOCK_THREAD_CPUTIME_ID) < end)
		;
	ctor_cost_ns = now(CLOCK_BOOTTIME) - began;
}
