#include "library.h"
LYCH_HIDDEN int arena_guarded(struct library *l, void **out, size_t bytes, unsigned int flags);
LYCH_HIDDEN void arena_unguarded(struct library *l, void *at, size_t bytes);
