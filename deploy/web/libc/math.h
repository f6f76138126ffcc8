/* What the runtime takes of the C library: instructions of WebAssembly. */
#ifndef EB_WEB_MATH_H
#define EB_WEB_MATH_H

float sqrtf(float x);
float fabsf(float x);

#endif
