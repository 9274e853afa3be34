/* slow_setup [MS]: a child by fork and one by vfork each sleep MS milliseconds (100) before they
 * execute /bin/true.
 * Expected: the sleep is in the phase setup, of both.
 * Prints {"self", "forked", "vforked", "forked_ns", "vforked_ns"}: pids, and how long they really slept. */
#include "starter.h"
#include <sys/mman.h>

/* Shared with the children: how long they slept. */
static volatile int64_t *slept;

static int64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_BOOTTIME, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void sleep_measured(long ms)
{
	int64_t begin = now();

	sleep_ms(ms);
	*slept = now() - begin;
}

/* A function of its own: what lives across a vfork had better not be in registers. */
__attribute__((noinline)) static pid_t by_vfork(long ms)
{
	static char *const arguments[] = { "true", "vforked", NULL };
	pid_t child = vfork();

	if (child < 0)
		die("vfork");
	if (child == 0) {
		sleep_measured(ms);
		execve(TRUE_PATH, arguments, environ);
		_exit(127);
	}
	reap_ok(child);
	return child;
}

int main(int argc, char **argv)
{
	long ms = number(argc, argv, 1, 100);
	pid_t forked, vforked;
	int64_t forked_ns;

	slept = mmap(NULL, sizeof *slept, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slept == MAP_FAILED)
		die("mmap");
	forked = fork();
	if (forked < 0)
		die("fork");
	if (forked == 0) {
		sleep_measured(ms);
		exec_true("forked");
	}
	reap_ok(forked);
	forked_ns = *slept;
	vforked = by_vfork(ms);
	printf("{\"self\": %d, \"forked\": %d, \"vforked\": %d, \"forked_ns\": %lld, \"vforked_ns\": %lld}\n",
	       getpid(), forked, vforked, (long long)forked_ns, (long long)*slept);
	return 0;
}
