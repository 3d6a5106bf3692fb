/* Adds up a small ledger. The corpus is built from it: nested calls, locals of several kinds, and three ways to run.
 *
 *   tally          prints the sum and exits 0
 *   tally crash    reads through a null pointer four calls deep
 *   tally wait     prints "ready" four calls deep, then sleeps for a minute
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum mode { PRINT, CRASH, WAIT };

struct entry {
    const char *name;
    int cents;
};

static const struct entry LEDGER[] = {{"bread", 250}, {"milk", 129}, {"tea", 480}};

__attribute__((noinline)) static int add(const struct entry *entry, int sum, enum mode mode)
{
    int cents = entry->cents;
    int next = sum + cents;
    if (mode == WAIT) {
        puts("ready");
        fflush(stdout);
        sleep(60);
    }
    /* stop here: the next line */
    return next;
}

__attribute__((noinline)) static int tally_entry(const struct entry *entries, int index, int sum, enum mode mode)
{
    const struct entry *entry = &entries[index];
    char label[16];
    strncpy(label, entry->name, sizeof label - 1);
    label[sizeof label - 1] = '\0';
    if (mode == CRASH && index == 1) {
        entry = NULL;
    }
    return add(entry, sum, index == 1 ? mode : PRINT);
}

__attribute__((noinline)) int tally_all(const struct entry *entries, int count, enum mode mode)
{
    int sum = 0;
    for (int index = 0; index < count; index++) {
        sum = tally_entry(entries, index, sum, mode);
    }
    return sum;
}

int main(int argc, char **argv)
{
    enum mode mode = PRINT;
    if (argc > 1 && strcmp(argv[1], "crash") == 0) {
        mode = CRASH;
    } else if (argc > 1 && strcmp(argv[1], "wait") == 0) {
        mode = WAIT;
    }
    int count = (int)(sizeof LEDGER / sizeof LEDGER[0]);
    int sum = tally_all(LEDGER, count, mode);
    printf("%d entries, %d cents\n", count, sum);
    return 0;
}
