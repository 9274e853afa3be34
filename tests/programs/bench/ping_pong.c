/* ping_pong N OUT: N round trips of one byte between two processes over two pipes, both on one CPU,
 * so that each trip is two switches; the loop's wall time. */
#include "bench.h"
#include <sched.h>

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

int main(int argc, char **argv)
{
	int there[2], back[2];
	long count, i;
	long long begin, end;
	char byte = 0;
	pid_t peer;
	FILE *out;

	usage(argc, 3, "ping_pong N OUT");
	count = number(argc, argv, 1, 0);
	out = result(argv[2]);
	on_one_cpu();
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
	begin = now(CLOCK_MONOTONIC);
	for (i = 0; i < count; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			die("ping-pong");
	end = now(CLOCK_MONOTONIC);
	close(there[1]);
	reap_ok(peer);
	fprintf(out, "{\"ns\": %lld, \"n\": %ld}\n", end - begin, count);
	finish(out);
	return 0;
}
