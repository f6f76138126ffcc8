/* SPDX-License-Identifier: Apache-2.0
 *
 * Counted instructions, under qemu -icount shift=0: an instruction takes 1 ns,
 * and a tick of SysTick as many instructions as its period has ns. */
#ifndef BOARD_TICKS_H
#define BOARD_TICKS_H

#include <stdint.h>

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

/* Hundredths of an instruction. */
#if defined(__ARM_FEATURE_MVE)
#define TICK 3125u
#elif defined(__ARM_ARCH_8M_MAIN__)
#define TICK 5000u
#else
#define TICK 4000u
#endif

static inline void ticks_start(void)
{
    SYST_RVR = 0xFFFFFFu;
    SYST_CVR = 0;
    SYST_CSR = 5u;
}

static inline uint32_t ticks_since(uint32_t before)
{
    return (before - SYST_CVR) & 0xFFFFFFu;
}

#endif
