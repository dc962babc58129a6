// Inverted dropout with a counter-based generator: nothing to save for backward, and nothing depends on what else is in the
// batch.
#include "philox.h"

#include "kernels.h"
#include "thread_pool.h"
#include "elements.h"

void graft_philox(uint32_t out[4], const uint32_t counter[4], uint64_t key) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        PHILOX_ROUND(c0, c1, c2, c3, k0, k1);
        k0 += philox_step0, k1 += philox_step1;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

struct dropout_job {
    struct array out;
    struct matrix x;
    const int64_t *row_keys;
    const int32_t *positions;
    float p;
    uint64_t key;
    int64_t T, C;
};

// The generator's words for elements first ..< first + 64 of a row, sixteen counters side by side.
BODY void random_words(uint32_t words[64], uint32_t first_counter, uint32_t position, uint64_t row_key, uint64_t key) {
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    for (int i = 0; i < LANES; i++) {
        c0[i] = first_counter + (uint32_t)i, c1[i] = position;
        c2[i] = (uint32_t)row_key, c3[i] = (uint32_t)(row_key >> 32);
    }
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        for (int i = 0; i < LANES; i++) PHILOX_ROUND(c0[i], c1[i], c2[i], c3[i], k0, k1);
        k0 += philox_step0, k1 += philox_step1;
    }
    for (int i = 0; i < LANES; i++)
        words[4 * i] = c0[i], words[4 * i + 1] = c1[i], words[4 * i + 2] = c2[i], words[4 * i + 3] = c3[i];
}

BODY void dropout_rows_body(const struct dropout_job *job, int64_t first, int64_t last) {
    uint64_t threshold = dropout_threshold(job->p);
    float scale = 1.0f / (1.0f - job->p);
    int64_t C = job->C;
    for (int64_t t = first; t < last; t++) {
        for (int64_t c = 0; c < C; c += 64) {
            uint32_t words[64];
            random_words(words, (uint32_t)(c / 4), (uint32_t)job->positions[t], (uint64_t)job->row_keys[t], job->key);
            int64_t count = smaller(64, C - c);
            for (int64_t i = 0; i < count; i += LANES) {
                int_vector is_kept;
                for (int l = 0; l < LANES; l++) is_kept[l] = words[i + l] >= threshold ? -1 : 0;
                vector x = load_elements(job->x.data, job->x.dtype, t * C + c + i, count - i);
                store_elements(job->out.data, job->out.dtype, t * C + c + i, choose_lanes(is_kept, x * splat(scale), splat(0)),
                               count - i);
            }
        }
    }
}
VARIANTS(dropout_rows, (const struct dropout_job *job, int64_t first, int64_t last), (job, first, last))

static void dropout_task(void *context, int64_t task) {
    const struct dropout_job *job = context;
    int64_t rows = rows_per_task(job->C);
    dropout_rows(job, task * rows, smaller(job->T, (task + 1) * rows));
}

void graft_dropout(struct array out, struct matrix x, const int64_t *row_keys, const int32_t *positions, float p,
                   uint64_t key, int64_t T, int64_t C) {
    struct dropout_job job = {out, x, row_keys, positions, p, key, T, C};
    pool_run("dropout", divide_up(T, rows_per_task(C)), dropout_task, &job);
}
