#ifndef LSTM_H
#define LSTM_H
int *lstm_8x16();
#endif
