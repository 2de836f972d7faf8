// A source of cuda/ as a library: -DSOURCE names it, -DKERNEL its kernel, which takes one struct.
#include "ptx.hpp"

#include SOURCE

namespace {
template <typename Parameters, void (*kernel)(Parameters)>
struct Launch {
    static inline const Parameters* parameters;
    static void thread() {
        kernel(*parameters);
        host::finish_thread();
    }
    static void run(int grid, int block, void** arguments, int schedule, unsigned random) {
        parameters = static_cast<const Parameters*>(arguments[0]);
        host::run_grid(grid, block, thread, static_cast<host::Schedule>(schedule), random);
    }
    static size_t bytes() { return sizeof(Parameters); }
};

template <typename Parameters>
Parameters parameters_of(void (*)(Parameters));
using Kernel = Launch<decltype(parameters_of(KERNEL)), KERNEL>;
}  // namespace

// `arguments` as cuLaunchKernel takes them.
extern "C" void launch(int grid, int block, void** arguments, int schedule, unsigned random) {
    Kernel::run(grid, block, arguments, schedule, random);
}

extern "C" size_t parameter_bytes() { return Kernel::bytes(); }
