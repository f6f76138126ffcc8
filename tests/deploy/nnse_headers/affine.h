#ifndef AFFINE_H
#define AFFINE_H
int *fc_8x16();
#endif
