// The three decisions about a pixel, and what a skipped one becomes.
#pragma once

constexpr int SKIP = 0, REUSE = 1, COMPUTE = 2;  // as in spvos_cli/sparse/policy.py

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
