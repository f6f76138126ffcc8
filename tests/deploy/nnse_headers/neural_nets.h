/* The layout that the tables are compiled against, from its description. */
#ifndef NEURAL_NETS_H
#define NEURAL_NETS_H
#include <stdint.h>

typedef enum { fc, lstm } NET_LAYER_TYPE;
typedef enum { relu6, ftanh, sigmoid, linear } ACTIVATION_TYPE;

typedef struct {
    int8_t numlayers;
    int16_t size_layer[11];
    NET_LAYER_TYPE net_layer_type[10];
    int8_t qbit_kernel[10];
    int8_t qbit_input[10];
    int8_t qbit_bias[10];
    ACTIVATION_TYPE activation_type[10];
    int32_t *pt_cstate[10];
    int16_t *pt_hstate[10];
    void *(*act_func[10])(void *, int32_t *, int);
    int *(*layer_func[10])();
    int8_t *pt_kernel[10];
    int16_t *pt_bias[10];
    int8_t *pt_kernel_rec[10];
} NeuralNetClass;
#endif
