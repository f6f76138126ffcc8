#ifndef NN_SPEECH_H
#define NN_SPEECH_H
#include <stdint.h>
typedef struct {
    int samplingRate;
    int fftsize;
    int winsize_stft;
    int hopsize_stft;
    int num_mfltrBank;
    int num_dnsmpl;
    const int16_t *pt_stft_win_coeff;
    int start_bin;
    int is_dcrm;
    int pre_gain_q1;
} PARAMS_NNSP;
#endif
