/*
 * A program and, built with -DLIBRARY, a library whose constructor takes long: WORK says what it does.
 *   sleep N   sleeps N milliseconds, and the program tells how long that took by its own clock
 *   kill      kills itself
 *   open FILE calls dlopen
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef LIBRARY
long constructor_ns;

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

__attribute__((constructor)) static void work(void)
{
	const char *what = getenv("WORK");
	long begin = now();

	if (what && !strncmp(what, "sleep ", 6)) {
		long ms = atol(what + 6);
		struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

		nanosleep(&t, NULL);
	} else if (what && !strcmp(what, "kill")) {
		raise(SIGKILL);
	} else if (what && !strncmp(what, "open ", 5)) {
		if (!dlopen(what + 5, RTLD_NOW))
			fprintf(stderr, "%s\n", dlerror());
	}
	constructor_ns = now() - begin;
}
#else
extern long constructor_ns;

int main(void)
{
	printf("{\"constructor_ns\": %ld}\n", constructor_ns);
	return 0;
}
#endif
