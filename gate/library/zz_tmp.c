#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "calls.h"
#include "../core/asm.h"
LYCH_HIDDEN int library_take(struct library *l, struct lych_domain *d){return -ENOMEM;}
LYCH_HIDDEN void library_drop(struct lych_domain *d){}
LYCH_HIDDEN void library_leave(struct lych_domain *d){}
LYCH_HIDDEN void library_settle(struct lych_domain *d){}
LYCH_HIDDEN int library_reset(struct lych_domain *d){return 0;}
LYCH_HIDDEN long inside_read(const struct library *l, void *to, uint64_t at, uint64_t bytes){return -EFAULT;}
LYCH_HIDDEN long inside_write(const struct library *l, uint64_t at, const void *from, uint64_t bytes){return -EFAULT;}
bool calls_quick(struct library *l, struct thread *t, const struct mediated *call, long *result){return false;}
enum mediated_end calls_answer(struct library *l, struct thread *t, const struct mediated *call, long *result){*result=-ENOSYS;return 0;}
#include "arena.h"
int arena_guarded(struct library *l, void **out, size_t bytes, unsigned int flags){return -ENOMEM;}
void arena_unguarded(struct library *l, void *at, size_t bytes){}
LYCH_HIDDEN void library_gone(struct library *l){}
