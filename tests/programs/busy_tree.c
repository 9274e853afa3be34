/* busy_tree [DESCENDANTS [THREADS]]: a tree of DESCENDANTS (20) processes below this one, each the
 * parent of at most four, in each of which THREADS (2) threads fork for as long as the tree lives,
 * one fork about every 50 ms a thread; every other child executes /bin/true.
 * Prints "ready" when the tree stands. A line on stdin ends it.
 * Expected of a recording that begins in between: every fork that began since is a start, whichever
 * thread of whichever process did it.
 * Prints {"self", "tree": [...], "forks": [[BOOTTIME_NS, PARENT, CHILD], ...]} after all have ended,
 * the times taken just before each fork. */
#include "starter.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#define MOST_FORKS 200000
#define MOST_TREE 256
#define KIDS 4

struct told {
	long long at;
	pid_t parent, child;
};

static struct shared {
	volatile int ending;
	volatile int standing;
	unsigned forks;
	pid_t tree[MOST_TREE];
	struct told told[MOST_FORKS];
} *shared;

static long long boottime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void *forker(void *unused)
{
	for (unsigned n = 0; !shared->ending; n++) {
		long long at = boottime();
		pid_t child = fork();
		unsigned slot;

		if (child < 0)
			die("fork");
		if (child == 0) {
			if (n & 1)
				exec_true("busy");
			_exit(0);
		}
		slot = __sync_fetch_and_add(&shared->forks, 1);
		if (slot < MOST_FORKS)
			shared->told[slot] = (struct told){ at, getpid(), child };
		reap_ok(child);
		sleep_ms(50);
	}
	return unused;
}

static void node(long number, long descendants, long threads)
{
	pthread_t ids[16];
	pid_t kids[KIDS];
	int n = 0;
	long i;

	for (i = number * KIDS + 1; i <= number * KIDS + KIDS && i <= descendants; i++) {
		kids[n] = fork();
		if (kids[n] < 0)
			die("fork");
		if (kids[n] == 0) {
			node(i, descendants, threads);
			_exit(0);
		}
		shared->tree[i - 1] = kids[n];
		n++;
	}
	for (i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, forker, NULL))
			die("pthread_create");
	__sync_fetch_and_add(&shared->standing, 1);
	for (i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	while (n > 0)
		reap_ok(kids[--n]);
}

int main(int argc, char **argv)
{
	long descendants = number(argc, argv, 1, 20), threads = number(argc, argv, 2, 2), i;
	pid_t top;
	char line[8];

	if (descendants > MOST_TREE || threads > 16) {
		dprintf(2, "busy_tree: too many\n");
		return 2;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	top = fork();
	if (top < 0)
		die("fork");
	if (top == 0) {
		node(0, descendants, threads);
		_exit(0);
	}
	while (shared->standing < descendants + 1)
		sleep_ms(1);
	printf("ready\n");
	fflush(stdout);
	if (read(0, line, sizeof line) < 0)
		die("read");
	shared->ending = 1;
	reap_ok(top);
	printf("{\"self\": %d, \"tree\": [", getpid());
	for (i = 0; i < descendants; i++)
		printf("%s%d", i ? ", " : "", shared->tree[i]);
	printf("], \"forks\": [");
	for (i = 0; i < (long)shared->forks; i++)
		printf("%s[%lld, %d, %d]", i ? ", " : "", shared->told[i].at,
		       shared->told[i].parent, shared->told[i].child);
	printf("]}\n");
	return shared->forks > MOST_FORKS;
}
