/* SPDX-License-Identifier: Apache-2.0 */
/* What the examples call the model: EB_CALL(process) is @NAME@_process. */
#ifndef EB_NAMES_H
#define EB_NAMES_H

#include "@NAME@.h"

#define EB_CALL(what) @NAME@_##what
#define EB_HOP @UPPER@_HOP
#define EB_RATE @UPPER@_SAMPLE_RATE
@MACROS@

#endif
