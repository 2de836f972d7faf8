// Runs recorded launches (tests/sparse/replay.py) in several orders, with memory of exactly the recorded sizes, and
// exits with 1 where the output is not as expected: for sanitizers, and for mutants of the sources.
// -DSOURCE names the convolution.
#include <vector>

#include "ptx.hpp"

#include "compact.cu"
#include "decide.cu"
#include SOURCE

namespace {
#if SANITIZED  // they see what the order hides, and are slow
const host::Schedule SCHEDULES[] = {host::RANDOM};
#else
const host::Schedule SCHEDULES[] = {host::ROUND_ROBIN, host::BY_WARP, host::RANDOM};
#endif
FILE* file;
void* arguments;

template <typename T>
T read() {
    T value;
    if (fread(&value, sizeof value, 1, file) != 1) {
        host::fail("the recording ends too soon");
    }
    return value;
}

std::vector<char> read_bytes() {
    std::vector<char> bytes(read<long long>());
    if (fread(bytes.data(), 1, bytes.size(), file) != bytes.size()) {
        host::fail("the recording ends too soon");
    }
    return bytes;
}

struct Recorded {
    int kernel, grid, block;
    std::vector<char> parameters;
    std::vector<int> pointers;  // offset in the parameters and buffer, in turn
};

struct Case {
    std::vector<std::vector<char>> buffers;
    std::vector<Recorded> launches;
    int output;
    float tolerance;
    std::vector<char> expected;
};

Case read_case() {
    Case recorded;
    for (int left = read<int>(); left > 0; --left) {
        recorded.buffers.push_back(read_bytes());
    }
    for (int left = read<int>(); left > 0; --left) {
        Recorded launch = {read<int>(), read<int>(), read<int>(), read_bytes(), {}};
        for (int numbers = read<int>(); numbers > 0; --numbers) {
            launch.pointers.push_back(read<int>());
        }
        recorded.launches.push_back(launch);
    }
    recorded.output = read<int>();
    recorded.tolerance = read<float>();
    recorded.expected = read_bytes();
    return recorded;
}

void run_compact() {
    compact(*static_cast<const Compaction*>(arguments));
    host::finish_thread();
}

void run_decide() {
    decide(*static_cast<const Decision*>(arguments));
    host::finish_thread();
}

void run_convolve() {
    convolve(*static_cast<const Layer*>(arguments));
    host::finish_thread();
}

void (*const KERNELS[])() = {run_compact, run_convolve, run_decide};  // as replay.py numbers them

BOOKKEEPING bool as_expected(const Case& recorded, const void* output) {
    const float* expected = reinterpret_cast<const float*>(recorded.expected.data());
    for (size_t i = 0; i < recorded.expected.size() / sizeof(float); ++i) {
        const float found = to_float(static_cast<const Element*>(output)[i]);
        if (!(fabsf(found - expected[i]) <= recorded.tolerance)) {
            fprintf(stderr, "element %zu is %g, not %g\n", i, found, expected[i]);
            return false;
        }
    }
    return true;
}

bool run(Case recorded, host::Schedule schedule) {
    std::vector<void*> memory;
    for (const std::vector<char>& bytes : recorded.buffers) {
        memory.push_back(nullptr);
        if (posix_memalign(&memory.back(), 64, bytes.size())) {
            host::fail("no memory");
        }
        memcpy(memory.back(), bytes.data(), bytes.size());
    }
    for (Recorded& launch : recorded.launches) {
        for (size_t i = 0; i < launch.pointers.size(); i += 2) {
            memcpy(&launch.parameters[launch.pointers[i]], &memory[launch.pointers[i + 1]], sizeof(void*));
        }
        arguments = launch.parameters.data();
        host::run_grid(launch.grid, launch.block, KERNELS[launch.kernel], schedule, 1);
    }
    const bool good = as_expected(recorded, memory[recorded.output]);
    for (void* block : memory) {
        free(block);
    }
    return good;
}
}  // namespace

int main(int, char** names) {
    file = fopen(names[1], "rb");
    for (int next = fgetc(file); next != EOF; next = fgetc(file)) {
        ungetc(next, file);
        const Case recorded = read_case();
        for (const host::Schedule schedule : SCHEDULES) {
            if (!run(recorded, schedule)) {
                _Exit(1);
            }
        }
    }
    _Exit(0);
}
