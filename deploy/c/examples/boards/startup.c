/* SPDX-License-Identifier: Apache-2.0 */
/* From reset to main() on the MPS2 and MPS3 boards, without an OS. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint32_t board_stack_top;
extern uint32_t board_data_start;
extern uint32_t board_data_end;
extern uint32_t board_data_load;
extern uint32_t board_bss_start;
extern uint32_t board_bss_end;

extern void initialise_monitor_handles(void);
extern int main(void);
void board_reset(void);
void board_fault(void);
void _exit(int status);

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR (*(volatile uint32_t *)0xE000ED14u)

/* newlib's exit asks for it where unused functions are not dropped. */
void _fini(void);
void _fini(void)
{
}

/* A crash ends with a status of its own instead of hanging. */
void board_fault(void)
{
    _exit(99);
}

void board_reset(void)
{
    /* The floating-point unit, and Helium where there is one. */
    CPACR |= 0xFu << 20;
#if defined(__ARM_FEATURE_MVE)
    /* Low-overhead branches. */
    CCR |= 1u << 19;
#endif
    __asm volatile("dsb\n isb" ::: "memory");
    memcpy(&board_data_start, &board_data_load,
           (size_t)((char *)&board_data_end - (char *)&board_data_start));
    memset(&board_bss_start, 0,
           (size_t)((char *)&board_bss_end - (char *)&board_bss_start));
    initialise_monitor_handles();
    exit(main());
}

typedef void (*board_handler)(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    board_handler handlers[15];
} board_vectors = {
    &board_stack_top,
    {board_reset, board_fault, board_fault, board_fault, board_fault,
     board_fault, board_fault, board_fault, board_fault, board_fault,
     board_fault, board_fault, board_fault, board_fault, board_fault},
};
