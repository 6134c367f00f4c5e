/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libngspice0: a transmission line with hardly any inductance becomes resistors and capacitors. A call in what names
 * them holds it.
 */
#include "program.h"

#include <math.h>

struct vector_info {
	char *name;
	int type;
	short flags;
	double *real;
	void *complex;
	int length;
};

static int on_text(char *text, int id, void *ctx)
{
	(void)id;
	(void)ctx;
	if (strstr(text, "Error") != NULL || strstr(text, "error") != NULL) {
		fprintf(stderr, "%s\n", text);
	}
	return 0;
}

static int on_exit_asked(int status, bool now, bool quit, int id, void *ctx)
{
	(void)status;
	(void)now;
	(void)quit;
	(void)id;
	(void)ctx;
	unexpected("ngspice wants to exit");
}

/* Of a voltage or current, over all moments. */
static double add_up(void *library, const char *name)
{
	struct vector_info *(*get)(const char *) = symbol(library, "ngGet_Vec_Info");
	struct vector_info *info = get(name);
	double sum = 0;

	if (info == NULL || info->length < 1 || info->real == NULL) {
		unexpected(name);
	}
	for (int i = 0; i < info->length; i++) {
		sum += info->real[i];
	}
	return sum;
}

static void calls(void *library)
{
	int (*init)(int (*)(char *, int, void *), void *, int (*)(int, bool, bool, int, void *), void *, void *, void *,
		    void *) = symbol(library, "ngSpice_Init");
	int (*circuit)(char **) = symbol(library, "ngSpice_Circ");
	int (*command)(const char *) = symbol(library, "ngSpice_Command");
	static bool started;

	if (!started && init(on_text, NULL, on_exit_asked, NULL, NULL, NULL, NULL) != 0) {
		unexpected("ngSpice_Init");
	}
	started = true;
	for (int i = 0; i < 20; i++) {
		double sum, error;
		char source[64], load[64], line[64];
		int ohms = 50 + (int)(random_number() % 100);
		char *lines[] = {"a transmission line", source, "Rsource 1 in 50", line, load,
				 ".model lossy txl R=12.45 L=1e-12 G=0 C=0.468e-12 length=16",
				 ".tran 0.2n 20n", ".end", NULL};

		snprintf(source, sizeof(source), "Vsource 1 0 pulse(0 %d 1n 0.1n 0.1n 9n 40n)", 1 + (int)(random_number() % 5));
		snprintf(line, sizeof(line), "Y1 in 0 out 0 lossy len=%d", 1 + (int)(random_number() % 16));
		snprintf(load, sizeof(load), "Rload out 0 %d", ohms);
		if (circuit(lines) != 0 || command("run") != 0) {
			unexpected("the circuit cannot be run");
		}
		sum = add_up(library, "out");
		/* Ohm: what the source gives flows through its resistor */
		error = add_up(library, "1") - add_up(library, "in") + 50 * add_up(library, "vsource#branch");
		known_number("Ohm's law", fabs(error) < 1e-6, 1);
		known_number("something arrives", fabs(sum) > 0.01, 1);
		answer(&sum, sizeof(sum));
		command("remcirc");
		command("destroy all");
	}
}

const struct program program = {.calls = calls};
