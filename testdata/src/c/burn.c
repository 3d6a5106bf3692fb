/* Spends its time four calls deep, in a function that a profiler should name. */
#include <stdio.h>

__attribute__((noinline)) static unsigned hot_leaf(unsigned seed)
{
    for (int round = 0; round < 50000000; round++) {
        seed = seed * 1664525u + 1013904223u;
        __asm__ volatile("" : "+r"(seed));
    }
    return seed;
}

__attribute__((noinline)) static unsigned caller(unsigned seed)
{
    return hot_leaf(seed) + 1;
}

int main(void)
{
    printf("%u\n", caller(1));
    return 0;
}
