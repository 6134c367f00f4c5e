#include "library.h"
bool calls_quick(struct library *l, struct thread *t, const struct mediated *call, long *result);
enum mediated_end calls_answer(struct library *l, struct thread *t, const struct mediated *call, long *result);
