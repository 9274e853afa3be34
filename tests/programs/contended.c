/* contended: sleeps and reads a pipe on a CPU that another process keeps busy, and so waits for it each time.
 * Prints {"self", "writer", "sleeps", "slept_ns"}: how often it slept for 5 ms, and how long that was until it ran again.
 * The one that keeps the CPU busy is not told. */
#include "starter.h"
#include <sched.h>
#include <signal.h>

#define TIMES 20

static void stay_on_first_cpu(void)
{
	cpu_set_t set;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		die("sched_getaffinity");
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(void)
{
	long long slept = 0, begin;
	struct sched_param priority = { 0 };
	pid_t busy, writer;
	int asks[2], answers[2];
	char byte = 'x';

	if (pipe(asks) || pipe(answers))
		die("pipe");
	/* Not on the busy CPU. */
	writer = fork();
	if (writer < 0)
		die("fork");
	if (writer == 0) {
		for (int i = 0; i < TIMES; i++) {
			if (read(asks[0], &byte, 1) != 1)
				die("read");
			sleep_ms(10);
			if (write(answers[1], &byte, 1) != 1)
				die("write");
		}
		_exit(0);
	}
	stay_on_first_cpu();
	busy = fork();
	if (busy < 0)
		die("fork");
	if (busy == 0)
		for (;;)
			;
	/* Nobody's CPU is taken away for one of these that can run. */
	if (sched_setscheduler(0, SCHED_IDLE, &priority))
		die("sched_setscheduler");
	for (int i = 0; i < TIMES; i++) {
		if (write(asks[1], &byte, 1) != 1 || read(answers[0], &byte, 1) != 1)
			die("an answer");
		begin = now_ns();
		sleep_ms(5);
		slept += now_ns() - begin;
	}
	reap_ok(writer);
	printf("{\"self\": %d, \"writer\": %d, \"sleeps\": %d, \"slept_ns\": %lld}\n", (int)getpid(), (int)writer, TIMES, slept);
	fflush(stdout);
	kill(busy, SIGKILL);
	reap(busy);
	return 0;
}
