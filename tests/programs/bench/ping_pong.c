/* ping_pong N TIMES: a pair of processes that hand one byte to and fro over two pipes, both on one CPU, so that each
 * round trip is two switches. For each byte on stdin it does N round trips, so many times, and writes one line to
 * stdout: the shortest wall time, and whether it was at real-time priority, at which nothing else gets the CPU in
 * between. Ends with stdin, so that the same pair can be measured with and without something else. */
#include "bench.h"
#include <sched.h>

static int there[2], back[2];

static void on_one_cpu(void)
{
	cpu_set_t allowed, one;
	int cpu;

	if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
		die("sched_getaffinity");
	for (cpu = 0; cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed); cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one) < 0)
		die("sched_setaffinity");
}

static long long round_trips(long count)
{
	long long begin = now(CLOCK_MONOTONIC);
	char byte = 0;
	long i;

	for (i = 0; i < count; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			die("ping-pong");
	return now(CLOCK_MONOTONIC) - begin;
}

int main(int argc, char **argv)
{
	struct sched_param lowest = { .sched_priority = 1 };
	long count, times, i;
	char byte = 0;
	int realtime;
	pid_t peer;

	usage(argc, 3, "ping_pong N TIMES");
	count = number(argc, argv, 1, 0);
	times = number(argc, argv, 2, 0);
	on_one_cpu();
	/* Not everywhere allowed, even to root. */
	realtime = sched_setscheduler(0, SCHED_FIFO, &lowest) == 0;
	make_pipe(there);
	make_pipe(back);
	peer = fork();
	if (peer < 0)
		die("fork");
	if (peer == 0) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1)
			if (write(back[1], &byte, 1) != 1)
				_exit(1);
		_exit(0);
	}
	while (read(0, &byte, 1) == 1) {
		long long best = 0, took;

		for (i = 0; i < times; i++) {
			took = round_trips(count);
			if (!i || took < best)
				best = took;
		}
		printf("{\"ns\": %lld, \"realtime\": %s}\n", best, realtime ? "true" : "false");
		if (fflush(stdout))
			die("writing the result");
	}
	close(there[1]);
	reap_ok(peer);
	return 0;
}
