/* SPDX-License-Identifier: Apache-2.0 */
/* A hop of samples through the model, over and over, and the time it takes. */
#include <@NAME@.h>

static @NAME@_memory memory;
static @NAME@_state *state;
static int16_t samples[@UPPER@_HOP];
static @RESULT@;

void setup()
{
    Serial.begin(115200);
    state = @NAME@_init(&memory, sizeof memory);
}

void loop()
{
    /* Here a hop comes from a microphone, as int16. */
    const unsigned long begun = micros();
    @NAME@_process(state, samples, result);
    Serial.println(micros() - begun);
    delay(1000);
}
