// Inline PTX, all of it: asynchronous copies to shared memory and products on tensor cores, with what takes their
// place on cards that lack them. Layouts of fragments: PTX ISA, "Matrix Fragments for mma.m16n8k16" and "k8".
#pragma once
#include "element.cuh"

#ifndef CUDA_HOST_SHIM

// 16 bytes to shared memory, zeros unless `whole`; there after `wait_for_copies`, for other threads after a barrier.
__device__ inline void copy_async(void* target, const void* source, bool whole) {
#if __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(target));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(source), "r"(whole ? 16 : 0)
                 : "memory");
#else
    *static_cast<uint4*>(target) = whole ? *static_cast<const uint4*>(source) : make_uint4(0, 0, 0, 0);
#endif
}

// Ends a group of this thread's copies.
__device__ inline void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until all but the last PENDING groups of this thread's copies are there.
template <int PENDING>
__device__ inline void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

// sum (16 x 8) += a (16 rows of 32 bytes) * b (8 columns of 32 bytes), by a whole warp.
__device__ inline void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], __half) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
                     : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                     : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
    }
#endif
}

#if __CUDA_ARCH__ >= 800
__device__ inline void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], __nv_bfloat16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline unsigned to_tf32(unsigned bits) {
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));
    return bits;
}

__device__ inline void multiply(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], float) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(to_tf32(a[0])), "r"(to_tf32(a[1])), "r"(to_tf32(a[2])), "r"(to_tf32(a[3])), "r"(to_tf32(b[0])),
          "r"(to_tf32(b[1])));
}
#endif

#endif
