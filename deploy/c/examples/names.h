/* SPDX-License-Identifier: Apache-2.0 */
/* EB_CALL(process) is mymodel_process when compiled with -DEB_MODEL=mymodel. */
#ifndef EB_NAMES_H
#define EB_NAMES_H

#include EB_HEADER

#define EB_JOIN_(a, b) a##_##b
#define EB_JOIN(a, b) EB_JOIN_(a, b)
#define EB_CALL(what) EB_JOIN(EB_MODEL, what)

#endif
