// Reference attention: for each query, its list of keys and one probability for each.
#include "allocator.h"
#include "reference.h"

#include <math.h>
#include <string.h>

struct call {
    const float *k, *v;
    const struct attention_layout *layout;
    int64_t H, K, D;
};

// A key that a query reads: its channels of one head, and where their gradients go (used by the backward pass only).
struct key {
    const float *k, *v;
    double *dk, *dv;
};

static int64_t key_count(const struct attention_layout *layout, const struct attention_sequence *sequence, int64_t i) {
    int64_t count = i + 1;
    for (int32_t s = 0; s < sequence->segment_count; s++) count += layout->segments[sequence->first_segment + s].count;
    return count;
}

// The keys of row i of a sequence, in order. Gradients: rows of the batch first, then those of each outside array.
static void list_keys(struct key *keys, const struct call *call, const struct attention_sequence *sequence, int64_t i,
                      int64_t key_head, double *dk, double *dv, const int64_t *outside_start) {
    int64_t width = call->K * call->D, at = key_head * call->D, next = 0;
    for (int32_t s = 0; s < sequence->segment_count; s++) {
        const struct key_segment *segment = &call->layout->segments[sequence->first_segment + s];
        const struct outside_keys *outside = segment->outside < 0 ? NULL : &call->layout->outside[segment->outside];
        for (int64_t j = segment->start; j < segment->start + segment->count; j++) {
            int64_t row = outside && outside_start ? outside_start[segment->outside] + j : j;
            keys[next++] = (struct key){(outside ? (const float *)outside->keys : call->k) + j * width + at,
                                        (outside ? (const float *)outside->values : call->v) + j * width + at,
                                        dk ? dk + row * width + at : NULL, dv ? dv + row * width + at : NULL};
        }
    }
    for (int64_t j = sequence->start; j <= sequence->start + i; j++) {
        int64_t offset = j * width + at;
        keys[next++] = (struct key){call->k + offset, call->v + offset, dk ? dk + offset : NULL, dv ? dv + offset : NULL};
    }
}

static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

static double log_sum_exp(const double *x, int64_t n) {
    double maximum = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) maximum = fmax(maximum, x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - maximum);
    return maximum + log(sum);
}

static void forward(float *out, float *lse, const float *q, const float *k, const float *v, const struct attention_layout *layout,
                    int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    struct call call = {k, v, layout, H, K, D};
    memset(out, 0, (size_t)(T * H * D) * sizeof *out);
    memset(lse, 0, (size_t)(T * H) * sizeof *lse);
    for (int32_t s = 0; s < layout->sequence_count; s++) {
        const struct attention_sequence *sequence = &layout->sequences[s];
        for (int64_t i = 0; i < sequence->count; i++) {
            int64_t count = key_count(layout, sequence, i);
            struct key *keys = working_space((size_t)count * sizeof *keys);
            double *scores = working_space((size_t)count * sizeof *scores);
            for (int64_t h = 0; h < H; h++) {
                int64_t at = (sequence->start + i) * H + h;
                list_keys(keys, &call, sequence, i, h / (H / K), NULL, NULL, NULL);
                for (int64_t j = 0; j < count; j++) scores[j] = scale * dot(q + at * D, keys[j].k, D);
                double total = log_sum_exp(scores, count);
                lse[at] = (float)total;
                for (int64_t d = 0; d < D; d++) {
                    double sum = 0;
                    for (int64_t j = 0; j < count; j++) sum += exp(scores[j] - total) * keys[j].v[d];
                    out[at * D + d] = (float)sum;
                }
            }
            graft_release(keys, (size_t)count * sizeof *keys);
            graft_release(scores, (size_t)count * sizeof *scores);
        }
    }
}

// dq of one row and head, and its part of the gradients of the keys it reads.
static void query_backward(float *dq, const float *dout, const float *out, double lse, const float *q, const struct key *keys,
                           int64_t count, int64_t D, double scale) {
    double delta = dot(dout, out, D), sums[D];
    memset(sums, 0, sizeof sums);
    for (int64_t j = 0; j < count; j++) {
        double p = exp(scale * dot(q, keys[j].k, D) - lse), ds = p * (dot(dout, keys[j].v, D) - delta) * scale;
        for (int64_t d = 0; d < D; d++) {
            sums[d] += ds * keys[j].k[d];
            keys[j].dk[d] += ds * q[d];
            keys[j].dv[d] += p * dout[d];
        }
    }
    for (int64_t d = 0; d < D; d++) dq[d] = (float)sums[d];
}

static void add_outside_gradients(const struct attention_layout *layout, const double *dk, const double *dv,
                                  const int64_t *outside_start, int64_t width) {
    for (int32_t o = 0; o < layout->outside_count; o++) {
        const struct outside_keys *outside = &layout->outside[o];
        for (int64_t i = 0; i < outside->count * width; i++) {
            int64_t from = outside_start[o] * width + i;
            if (outside->keys_gradient) outside->keys_gradient[i] = (float)(outside->keys_gradient[i] + dk[from]);
            if (outside->values_gradient) outside->values_gradient[i] = (float)(outside->values_gradient[i] + dv[from]);
        }
    }
}

static void backward(float *dq, float *dk, float *dv, const float *dout, const float *out, const float *lse, const float *q,
                     const float *k, const float *v, const struct attention_layout *layout, int64_t T, int64_t H, int64_t K,
                     int64_t D, float scale) {
    struct call call = {k, v, layout, H, K, D};
    int64_t width = K * D, rows = T, outside_start[layout->outside_count + 1];
    for (int32_t o = 0; o < layout->outside_count; o++) outside_start[o] = rows, rows += layout->outside[o].count;
    size_t bytes = (size_t)(rows * width) * sizeof(double);
    double *dk_sums = working_space(bytes), *dv_sums = working_space(bytes);
    memset(dk_sums, 0, bytes);
    memset(dv_sums, 0, bytes);
    memset(dq, 0, (size_t)(T * H * D) * sizeof *dq);
    for (int32_t s = 0; s < layout->sequence_count; s++) {
        const struct attention_sequence *sequence = &layout->sequences[s];
        for (int64_t i = 0; i < sequence->count; i++) {
            int64_t count = key_count(layout, sequence, i);
            struct key *keys = working_space((size_t)count * sizeof *keys);
            for (int64_t h = 0; h < H; h++) {
                int64_t at = (sequence->start + i) * H + h;
                list_keys(keys, &call, sequence, i, h / (H / K), dk_sums, dv_sums, outside_start);
                query_backward(dq + at * D, dout + at * D, out + at * D, lse[at], q + at * D, keys, count, D, scale);
            }
            graft_release(keys, (size_t)count * sizeof *keys);
        }
    }
    for (int64_t i = 0; i < T * width; i++) dk[i] = (float)dk_sums[i], dv[i] = (float)dv_sums[i];
    add_outside_gradients(layout, dk_sums, dv_sums, outside_start, width);
    graft_release(dk_sums, bytes);
    graft_release(dv_sums, bytes);
}

// n numbers as f32, or room for them.
static float *f32_copy(struct matrix x, int64_t n) {
    float *copy = working_space((size_t)n * sizeof *copy);
    for (int64_t i = 0; x.data && i < n; i++) copy[i] = (float)reference_element(x, i);
    return copy;
}

static void store_copy(struct array out, float *copy, int64_t n) {
    for (int64_t i = 0; out.data && i < n; i++) reference_store(out, i, copy[i]);
    graft_release(copy, (size_t)n * sizeof *copy);
}

void reference_attention_forward(struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                                 const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    struct array none = {NULL, GRAFT_F32};
    int64_t queries = T * H * D, keys = T * K * D;
    float *result = f32_copy((struct matrix){NULL, GRAFT_F32}, queries), *q_copy = f32_copy(q, queries);
    float *k_copy = f32_copy(k, keys), *v_copy = f32_copy(v, keys);
    forward(result, lse, q_copy, k_copy, v_copy, layout, T, H, K, D, scale);
    store_copy(out, result, queries), store_copy(none, q_copy, queries);
    store_copy(none, k_copy, keys), store_copy(none, v_copy, keys);
}

void reference_attention_backward(struct array dq, struct array dk, struct array dv, struct matrix dout, struct matrix out,
                                  const float *lse, struct matrix q, struct matrix k, struct matrix v,
                                  const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    struct matrix room = {NULL, GRAFT_F32};
    struct array none = {NULL, GRAFT_F32};
    int64_t queries = T * H * D, keys = T * K * D;
    float *gradients[] = {f32_copy(room, queries), f32_copy(room, keys), f32_copy(room, keys)};
    float *dout_copy = f32_copy(dout, queries), *out_copy = f32_copy(out, queries), *q_copy = f32_copy(q, queries);
    float *k_copy = f32_copy(k, keys), *v_copy = f32_copy(v, keys);
    backward(gradients[0], gradients[1], gradients[2], dout_copy, out_copy, lse, q_copy, k_copy, v_copy, layout, T, H, K, D, scale);
    store_copy(dq, gradients[0], queries), store_copy(dk, gradients[1], keys), store_copy(dv, gradients[2], keys);
    store_copy(none, dout_copy, queries), store_copy(none, out_copy, queries), store_copy(none, q_copy, queries);
    store_copy(none, k_copy, keys), store_copy(none, v_copy, keys);
}
