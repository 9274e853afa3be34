/* many_threads [N]: starts N (2500) threads that all live at the same time, and ends with them.
 * Prints {"self", "threads", "wall"}: the time from the first to the end of the last. */
#include "starter.h"
#include <pthread.h>

static pthread_barrier_t all;

static void *one(void *unused)
{
	pthread_barrier_wait(&all);
	return unused;
}

int main(int argc, char **argv)
{
	long n = number(argc, argv, 1, 2500);
	pthread_t *threads = calloc(n, sizeof(*threads));
	struct timespec begin, end;
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	pthread_barrier_init(&all, NULL, n);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = 0; i < n; i++)
		if (pthread_create(&threads[i], &small, one, NULL))
			die("pthread_create");
	for (long i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("{\"self\": %d, \"threads\": %ld, \"wall\": %lld}\n", getpid(), n,
	       (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec);
	return 0;
}
