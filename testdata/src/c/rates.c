/* A shared library: exported functions, one hidden, and data that is relocated at load time. */
#include <string.h>

struct rate {
    const char *currency;
    int per_mille;
};

static const struct rate RATES[] = {{"eur", 1000}, {"usd", 921}, {"gbp", 1170}};
const char *const rates_default = "eur";

__attribute__((visibility("hidden"))) int rates_round(int value)
{
    int rest = value % 1000;
    return (value + (rest >= 500 ? 1000 : 0)) / 1000;
}

int rates_find(const char *currency)
{
    for (unsigned index = 0; index < sizeof RATES / sizeof RATES[0]; index++) {
        if (strcmp(RATES[index].currency, currency) == 0) {
            return RATES[index].per_mille;
        }
    }
    return -1;
}

int rates_convert(int cents, const char *currency)
{
    int per_mille = rates_find(currency);
    return per_mille < 0 ? -1 : rates_round(cents * per_mille);
}
