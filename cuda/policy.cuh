// The three decisions about a pixel: what is computed is listed, and what is skipped is written.
#pragma once

constexpr int SKIP = 0, REUSE = 1, COMPUTE = 2;  // as in spvos_cli/sparse/policy.py
constexpr unsigned WARP = 0xffffffff;

// Appends the warp's computed pixels, with one atomic addition for all of them.
__device__ inline void append(int* counter, int* list, int pixel, bool computed) {
    const int lane = threadIdx.x % 32;
    const unsigned chosen = __ballot_sync(WARP, computed);
    int first = 0;
    if (lane == 0 && chosen) {
        first = atomicAdd(counter, __popc(chosen));
    }
    first = __shfl_sync(WARP, first, 0);
    if (computed) {
        list[first + __popc(chosen & ((1u << lane) - 1))] = pixel;
    }
}

template <typename Unit>
__device__ inline void copy_row(void* output, const void* row, int pixel, int row_bytes) {
    const int units = row_bytes / sizeof(Unit);
    Unit* target = static_cast<Unit*>(output) + static_cast<long long>(pixel) * units;
    for (int unit = threadIdx.x % 32; unit < units; unit += 32) {
        target[unit] = static_cast<const Unit*>(row)[unit];
    }
}

// Writes what a skipped pixel holds; by a whole warp.
__device__ inline void write_skipped(void* output, const void* skipped, int pixel, int row_bytes) {
    if (row_bytes % sizeof(uint4) == 0) {
        copy_row<uint4>(output, skipped, pixel, row_bytes);
    } else {
        copy_row<unsigned short>(output, skipped, pixel, row_bytes);  // the smallest element
    }
}

// Writes the warp's skipped pixels, one row after another; a lane has one pixel, the first lane the first.
__device__ inline void write_skipped_of_warp(void* output, const void* value, int pixel, bool skipped, int row_bytes) {
    unsigned left = __ballot_sync(WARP, skipped);
    for (; left; left &= left - 1) {
        const int row = pixel - static_cast<int>(threadIdx.x % 32) + __ffs(left) - 1;
        write_skipped(output, value, row, row_bytes);
    }
}
