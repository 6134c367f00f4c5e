/* SPDX-License-Identifier: Apache-2.0 */
/* A secret that can be touched only inside of scopes, and a stray write that is caught. */
#include <lychgate/lychgate.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct secret {
	char key[32];
	unsigned int uses;
};

/* Needs the key, and is told where it is. A scope in a scope: the inner one may write, the outer one may not. */
static unsigned int sign(struct lych_region *vault, const char *message)
{
	unsigned int signature = 0, uses = 0;

	LYCH_READ(struct secret, s, vault) {
		for (size_t i = 0; message[i] != '\0'; i++) {
			signature = signature * 31 + (unsigned char)(message[i] ^ s->key[i % sizeof(s->key)]);
		}
		LYCH_WRITE(struct secret, w, vault) {
			uses = ++w->uses;
		}
		/* here s can be read again, and not written */
	}
	printf("signed \"%s\": %08x (use %u of the key)\n", message, signature, uses);
	return signature;
}

/* The bug that has nothing to do with the key: it writes where a wild pointer leads. */
static void log_line(char *where)
{
	strcpy(where, "GET / HTTP/1.1");
}

/* Does it in a child, so that this program can tell how it ended. */
static int in_child(void (*fn)(char *), char *where)
{
	int status = 0;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		fn(where);
		_exit(strncmp(where, "GET", 3) == 0 ? 42 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		return -1;
	}
	return status;
}

int main(int argc, char **argv)
{
	static struct secret plain = {"not so secret any more", 0};
	bool slow = argc > 1 && strcmp(argv[1], "mprotect") == 0;
	struct lych_region *vault;
	unsigned int before, after;
	int status, rc;

	status = in_child(log_line, plain.key);
	printf("a stray write to a key in ordinary memory: %s\n",
	       WIFEXITED(status) && WEXITSTATUS(status) == 42 ? "it is overwritten, and nothing happens" : "stopped?");

	rc = lych_init(LYCH_OPTS(struct lych_init_opts, .backend = slow ? LYCH_MPROTECT : LYCH_BACKEND_AUTO,
				 .report_host_faults = true));
	if (rc == 0) {
		rc = lych_region_new(&vault, sizeof(struct secret), LYCH_OPTS(struct lych_region_opts, .name = "signing key"));
	}
	if (rc != 0) {
		(void)fprintf(stderr, "%s: %s\n", lych_strerror(rc), lych_why());
		return 2;
	}
	LYCH_WRITE(struct secret, s, vault) {
		memcpy(s->key, "correct horse battery staple....", sizeof(s->key));
	}
	before = sign(vault, "hello");
	status = in_child(log_line, lych_region_address(vault));
	printf("a stray write to a key in a region: %s\n",
	       WIFSIGNALED(status) ? "signal 11 stops it, and the line above says what it was" : "not stopped");
	after = sign(vault, "hello");
	return !(before == after && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) || lych_region_free(vault) != 0;
}
