#ifndef ACTIVATION_H
#define ACTIVATION_H
#include <stdint.h>
void *tanh_fix(void *y, int32_t *x, int count);
void *sigmoid_fix(void *y, int32_t *x, int count);
void *relu6_fix(void *y, int32_t *x, int count);
void *linear_fix(void *y, int32_t *x, int count);
#endif
