/* SPDX-License-Identifier: Apache-2.0 */
/* The mark of what the library keeps to itself. For headers of the pure parts, which C++ tests include. */
#ifndef LYCH_HIDDEN_H
#define LYCH_HIDDEN_H

#define LYCH_HIDDEN __attribute__((visibility("hidden")))

#endif /* LYCH_HIDDEN_H */
