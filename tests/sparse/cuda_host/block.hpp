// One CUDA block after another: its threads as fibers, run in an order that can be chosen, between barriers and warp
// operations, where they wait for each other. Nothing orders two blocks.
#pragma once
#include "fibers.hpp"

namespace host {

enum Schedule { ROUND_ROBIN, BY_WARP, RANDOM };  // BY_WARP: each warp as far as it gets
enum State { READY, AT_BARRIER, AT_WARP, DONE };

struct Copy {
    unsigned* target;
    const unsigned* source;  // null: zeros
};

constexpr int MAX_THREADS = 1024, MAX_GROUPS = 16, MAX_COPIES = 16, MAX_SHARED = 8;
constexpr int MAX_BLOCKS = 4096;
constexpr size_t SHARED_BYTES = 64 << 10, SHARED_GAP = 256;

struct Thread {
    Fiber fiber;
    State state = DONE;
    int site = 0;
    Copy groups[MAX_GROUPS][MAX_COPIES];  // a ring of groups of asynchronous copies
    int copies[MAX_GROUPS];
    int committed = 0, completed = 0, taken = 0;  // groups, and copies of the first that is not completed
};

struct Warp {
    void* operands[32];
    int arrived = 0, site = 0;
};

struct Array {
    int site;
    char* start;
};

inline Thread threads[MAX_THREADS];
inline Warp warps[MAX_THREADS / 32];
inline Array arrays[MAX_SHARED];
inline char *shared_memory = nullptr, *spent[MAX_BLOCKS];  // blocks share none, so none is used again in a launch
inline size_t shared_used;
inline int array_count, thread_count, current, block_index, grid_size;
inline char barrier_sync[2], end_sync;
inline int barriers[MAX_THREADS];  // passed by each thread

BOOKKEEPING inline void block_until_ready(State state, int site) {
    threads[current].state = state;
    threads[current].site = site;
    switch_to(scheduler);
}

// __syncthreads: orders what came before it in all threads before what comes after it in all.
BOOKKEEPING inline void barrier(int site) {
#if defined(__SANITIZE_THREAD__)
    const int parity = barriers[current]++ % 2;
    __tsan_release(&barrier_sync[parity]);
    block_until_ready(AT_BARRIER, site);
    __tsan_acquire(&barrier_sync[parity]);
#else
    block_until_ready(AT_BARRIER, site);
#endif
}

// A warp operation: all lanes bring their operands, the last to come performs it. Orders nothing in memory.
BOOKKEEPING inline void rendezvous(int site, void* operand, void (*perform)(void* const* operands)) {
    Warp& warp = warps[current / 32];
    if (warp.arrived && warp.site != site) {
        fail("lanes of a warp in different warp operations");
    }
    warp.site = site;
    warp.operands[current % 32] = operand;
    if (++warp.arrived < 32) {
        block_until_ready(AT_WARP, site);
        return;
    }
    warp.arrived = 0;
    perform(warp.operands);
    for (int i = current / 32 * 32; i < current / 32 * 32 + 32; ++i) {
        threads[i].state = READY;
    }
}

BOOKKEEPING inline void add_copy(Copy copy) {
    Thread& thread = threads[current];
    const int group = thread.committed % MAX_GROUPS;
    if (thread.copies[group] == MAX_COPIES) {
        fail("too many asynchronous copies in a group");
    }
    thread.groups[group][thread.copies[group]++] = copy;
}

BOOKKEEPING inline void commit_group() {
    Thread& thread = threads[current];
    if (++thread.committed - thread.completed == MAX_GROUPS) {
        fail("too many groups of asynchronous copies");
    }
    thread.copies[thread.committed % MAX_GROUPS] = 0;
}

// The next copy that has to be done until all but the last `pending` groups are; false where they are.
BOOKKEEPING inline bool take_copy(int pending, Copy& copy) {
    Thread& thread = threads[current];
    for (; thread.committed - thread.completed > pending; ++thread.completed, thread.taken = 0) {
        const int group = thread.completed % MAX_GROUPS;
        if (thread.taken < thread.copies[group]) {
            copy = thread.groups[group][thread.taken++];
            return true;
        }
    }
    return false;
}

// An array in shared memory, the same for all threads of a block; full of NaN, and out of reach beside it.
BOOKKEEPING inline void* shared_array(int site, size_t bytes) {
    for (int i = 0; i < array_count; ++i) {
        if (arrays[i].site == site) {
            return arrays[i].start;
        }
    }
    if (array_count == MAX_SHARED || shared_used + bytes + SHARED_GAP > SHARED_BYTES) {
        fail("too much shared memory");
    }
    Array& array = arrays[array_count++] = {site, shared_memory + shared_used};
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(array.start, bytes);
#endif
    shared_used += (bytes + 15) / 16 * 16 + SHARED_GAP;
    return array.start;
}

// The next thread to run, or -1 where all wait.
BOOKKEEPING inline int choose(Schedule schedule, unsigned& random) {
    int start = current + 1;
    if (schedule == BY_WARP) {
        start = current / 32 * 32;
    } else if (schedule == RANDOM) {
        random = random * 1664525 + 1013904223;
        start = random >> 8;
    }
    for (int i = 0; i < thread_count; ++i) {
        const int candidate = (start + i) % thread_count;
        if (threads[candidate].state == READY) {
            return candidate;
        }
    }
    return -1;
}

// Whether there is a barrier where all threads wait, and lets them go on; fails where they wait for ever.
BOOKKEEPING inline bool pass_barrier() {
    int waiting = 0, done = 0;
    for (int i = 0; i < thread_count; ++i) {
        waiting += threads[i].state == AT_BARRIER && threads[i].site == threads[0].site;
        done += threads[i].state == DONE;
    }
    if (done == thread_count) {
        return false;
    }
    if (waiting < thread_count) {
        fail("a barrier or a warp operation that not all threads reach");
    }
    for (int i = 0; i < thread_count; ++i) {
        threads[i].state = READY;
    }
    return true;
}

BOOKKEEPING inline void run_block(Schedule schedule, unsigned& random) {
    shared_memory = static_cast<char*>(aligned_alloc(16, SHARED_BYTES));
    for (size_t i = 0; i < SHARED_BYTES; ++i) {
        shared_memory[i] = '\xff';
    }
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(shared_memory, SHARED_BYTES);
#endif
    shared_used = array_count = current = 0;
    for (int i = 0; i < thread_count; ++i) {
        prepare(threads[i].fiber);
        threads[i].state = READY;
        threads[i].committed = threads[i].completed = threads[i].taken = threads[i].copies[0] = barriers[i] = 0;
    }
    do {
        for (int next = choose(schedule, random); next >= 0; next = choose(schedule, random)) {
            current = next;
            switch_to(threads[next].fiber);
        }
    } while (pass_barrier());
    for (int i = 0; i < thread_count; ++i) {
        dispose(threads[i].fiber);
    }
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(shared_memory, SHARED_BYTES);
#endif
    spent[block_index] = shared_memory;
}

BOOKKEEPING inline void finish_thread() {
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&end_sync);
#endif
    threads[current].state = DONE;
}

// A launch: `body` is what each thread runs.
BOOKKEEPING inline void run_grid(int grid, int block, void (*body)(), Schedule schedule, unsigned random) {
    if (block % 32 || block > MAX_THREADS || grid > MAX_BLOCKS) {
        fail("blocks have whole warps and at most 1024 threads, launches at most 4096 blocks");
    }
    adopt_scheduler();
    entry = body;
    grid_size = grid;
    thread_count = block;
    for (block_index = 0; block_index < grid; ++block_index) {
        run_block(schedule, random);
    }
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&end_sync);
#endif
    for (int i = 0; i < grid; ++i) {
        free(spent[i]);
    }
}

}  // namespace host
