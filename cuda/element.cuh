// The type of features and weights, chosen when a kernel is compiled: -DELEMENT=float, __half or __nv_bfloat16.
#pragma once
#ifndef CUDA_HOST_SHIM
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define SHARED(type, name, dimensions) __shared__ __align__(16) type name dimensions
#endif

typedef ELEMENT Element;

constexpr int VECTOR = 16 / sizeof(Element);  // elements in the widest load

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

__device__ inline void assign(float& place, float value) { place = value; }
__device__ inline void assign(__half& place, float value) { place = __float2half_rn(value); }
__device__ inline void assign(__nv_bfloat16& place, float value) { place = __float2bfloat16_rn(value); }
