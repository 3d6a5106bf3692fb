// The ledger in C++: templates, a virtual call, and exceptions, whose tables must still be found after slimming.
//
//   tally          throws and catches once, prints the sum, exits 0
//   tally crash    throws an exception that nobody catches
//   tally wait     prints "ready" four calls deep, then sleeps for a minute
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace ledger {

enum class Mode { Print, Crash, Wait };

struct Entry {
    std::string name;
    int cents;
};

class BadEntry : public std::runtime_error {
public:
    explicit BadEntry(const std::string &name) : std::runtime_error("bad entry: " + name) {}
};

struct Rule {
    virtual ~Rule() = default;
    virtual int apply(const Entry &entry, int sum) const = 0;
};

struct Sum : Rule {
    Mode mode;
    explicit Sum(Mode mode) : mode(mode) {}
    __attribute__((noinline)) int apply(const Entry &entry, int sum) const override
    {
        int next = sum + entry.cents;
        if (mode == Mode::Wait && entry.name == "milk") {
            std::puts("ready");
            std::fflush(stdout);
            sleep(60);
        }
        if (entry.cents < 0) {
            throw BadEntry(entry.name);
        }
        // stop here: the next line
        return next;
    }
};

template <typename Entries>
__attribute__((noinline)) int tally_all(const Entries &entries, const Rule &rule)
{
    int sum = 0;
    for (const auto &entry : entries) {
        sum = rule.apply(entry, sum);
    }
    return sum;
}

__attribute__((noinline)) int checked(const std::vector<Entry> &entries, Mode mode)
{
    auto rule = std::make_unique<Sum>(mode);
    try {
        return tally_all(entries, *rule);
    } catch (const BadEntry &bad) {
        std::printf("caught: %s\n", bad.what());
        return -1;
    }
}

} // namespace ledger

int main(int argc, char **argv)
{
    using namespace ledger;
    std::string word = argc > 1 ? argv[1] : "";
    Mode mode = word == "crash" ? Mode::Crash : word == "wait" ? Mode::Wait : Mode::Print;
    std::vector<Entry> entries{{"bread", 250}, {"milk", 129}, {"tea", 480}};
    int sum = checked(entries, mode);
    entries.push_back({"refund", -100});
    int refused = mode == Mode::Crash ? tally_all(entries, Sum(mode)) : checked(entries, mode);
    std::printf("%zu entries, %d cents, %d refused\n", entries.size() - 1, sum, refused);
    return 0;
}
