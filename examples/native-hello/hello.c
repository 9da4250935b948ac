/* The smallest function in C. Build: cc -O2 -shared -fPIC -o hello.so hello.c
 * Deploy with tag wick:runtime=native, Handler "hello.so". */
#include <stdio.h>
#include <wick.h>

void wick_handler(wick_invocation *in)
{
	char answer[256];

	fprintf(stderr, "greeting for %s, %lld ms left\n", wick_request_id(in), (long long)wick_remaining_ms(in));
	snprintf(answer, sizeof(answer), "{\"greeting\": \"Hello from C\", \"request\": \"%s\"}", wick_request_id(in));
	wick_answer_text(in, answer);
}
