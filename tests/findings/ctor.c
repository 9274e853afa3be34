/* ctor MS: a program whose library (ctor_lib.c) computes in its constructor for so long. */
extern long long ctor_cost_ns;

#include <stdio.h>
#include <unistd.h>

int main(void)
{
	printf("{\"self\": %d, \"cost_ns\": %lld}\n", getpid(), ctor_cost_ns);
	return 0;
}
