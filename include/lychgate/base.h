/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every public header of Lychgate stands on: visibility, attributes, the version.
 */
#ifndef LYCHGATE_BASE_H
#define LYCHGATE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LYCH_VERSION_MAJOR 0
#define LYCH_VERSION_MINOR 1
#define LYCH_VERSION_PATCH 0
#define LYCH_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define LYCH_API __attribute__((visibility("default")))
#define LYCH_MUST_CHECK __attribute__((warn_unused_result))
#define LYCH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LYCH_API
#define LYCH_MUST_CHECK
#define LYCH_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
#define LYCH_BEGIN_DECLS extern "C" {
#define LYCH_END_DECLS }
#else
#define LYCH_BEGIN_DECLS
#define LYCH_END_DECLS
#endif

#endif /* LYCHGATE_BASE_H */
