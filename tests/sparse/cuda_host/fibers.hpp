// A fiber for each CUDA thread, switched by setjmp and longjmp; in sanitized builds by swapcontext, with what the
// sanitizers want to be told. Switching orders nothing in memory: ThreadSanitizer sees fibers as threads.
#pragma once
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SANITIZED 1
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

// Bookkeeping that no sanitizer shall look at, for it passes between fibers.
#define BOOKKEEPING __attribute__((no_sanitize("thread"), no_sanitize("address"), noinline))

namespace host {

[[noreturn]] BOOKKEEPING inline void fail(const char* what) {
    fprintf(stderr, "CUDA host shim: %s\n", what);
    fflush(stderr);
    _Exit(3);
}

constexpr size_t STACK = 64 << 10;

struct Fiber {
    ucontext_t context;
    jmp_buf jump;
    bool started = false;
    char* stack = nullptr;
    void* fake_stack = nullptr;
    void* tsan = nullptr;
};

inline Fiber* running = nullptr;
inline Fiber scheduler;
inline void (*entry)() = nullptr;

// Leaves the running fiber for another; `last`: for good.
BOOKKEEPING inline void switch_to(Fiber& to, bool last = false) {
    Fiber& from = *running;
    running = &to;
#if defined(__SANITIZE_ADDRESS__)
    const bool home = &to == &scheduler;
    __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, home ? nullptr : to.stack, home ? 0 : STACK);
    swapcontext(&from.context, &to.context);
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#elif defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
    swapcontext(&from.context, &to.context);
#else
    if (last || !_setjmp(from.jump)) {
        if (to.started) {
            _longjmp(to.jump, 1);
        }
        to.started = true;
        setcontext(&to.context);
    }
#endif
}

BOOKKEEPING inline void begin_fiber() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    entry();
    switch_to(scheduler, true);
}

BOOKKEEPING inline void prepare(Fiber& fiber) {
    if (!fiber.stack) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        fiber.stack = static_cast<char*>(mmap(nullptr, STACK, PROT_READ | PROT_WRITE, flags, -1, 0));
    }
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, begin_fiber, 0);
    fiber.started = false;
#if defined(__SANITIZE_THREAD__)
    fiber.tsan = __tsan_create_fiber(0);
#endif
}

// ThreadSanitizer takes a stack that another fiber gets for shared memory: it is given back instead.
BOOKKEEPING inline void dispose(Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(fiber.tsan);
    munmap(fiber.stack, STACK);
    fiber.stack = nullptr;
#else
    (void)fiber;
#endif
}

// To be called on the thread that launches.
BOOKKEEPING inline void adopt_scheduler() {
    scheduler.started = true;
    running = &scheduler;
#if defined(__SANITIZE_THREAD__)
    scheduler.tsan = __tsan_get_current_fiber();
#endif
}

}  // namespace host
