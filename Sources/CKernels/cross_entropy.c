// Log-probabilities of targets, and their gradient in place of the logits. Three passes over a row: the maximum, the exponentials
// and their sum, the gradient.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

#include <math.h>

// Exponentials added in f32 before they enter the row's total in f64.
enum { STRIP = 1024 };

struct cross_entropy_job {
    struct target_scores scores;
    float *logits;
    const int32_t *targets;
    const float *coefficients, *entropy_coefficients;
    int64_t R, V;
};

// Past the row's end: the most negative finite number, whose exponential is zero and which never is the maximum.
BODY vector load_logits(const float *x, int64_t count) {
    if (count >= LANES) return load(x);
    vector v = splat(-3.0e38f);
    for (int64_t i = 0; i < count; i++) v[i] = x[i];
    return v;
}

BODY float row_maximum(const float *x, int64_t V) {
    vector best = splat(-INFINITY);
    for (int64_t i = 0; i < V; i += LANES) best = vector_maximum(load_logits(x + i, V - i), best);
    return lane_maximum(best);
}

// *mean = the mean of x; *squares = sum e^(2 (x - maximum)). Before x becomes its exponentials.
BODY void row_moments(const float *x, int64_t V, float maximum, double *mean, double *squares) {
    double total = 0;
    *squares = 0;
    for (int64_t strip = 0; strip < V; strip += STRIP) {
        vector sum = {0}, products = {0};
        for (int64_t i = strip; i < smaller(V, strip + STRIP); i += LANES) {
            vector e = vector_exp(load_logits(x + i, V - i) - splat(maximum));
            products = e * e + products;
            sum += load_some(x + i, V - i);
        }
        total += lane_sum(sum);
        *squares += lane_sum(products);
    }
    *mean = total / (double)V;
}

// *sum = sum e^(x - maximum); *weighted = sum e^(x - maximum) (x - maximum). With `keep`, x becomes its exponentials.
BODY void row_exponentials(float *x, int64_t V, float maximum, bool keep, double *sum, double *weighted) {
    *sum = 0, *weighted = 0;
    for (int64_t strip = 0; strip < V; strip += STRIP) {
        vector total = {0}, products = {0};
        for (int64_t i = strip; i < smaller(V, strip + STRIP); i += LANES) {
            vector shifted = load_logits(x + i, V - i) - splat(maximum);
            vector e = vector_exp(shifted);
            total += e;
            if (keep) store_some(x + i, e, V - i);
            // A logit of minus infinity adds nothing: 0, not 0 * infinity.
            products = e * vector_maximum(splat(-1.0e4f), shifted) + products;
        }
        *sum += lane_sum(total);
        *weighted += lane_sum(products);
    }
}

// coefficient * (onehot(target) - p), from x's exponentials.
BODY void row_gradient(float *x, int64_t V, double sum, int32_t target, float coefficient) {
    vector factor = splat((float)(-(double)coefficient / sum));
    for (int64_t i = 0; i < V; i += LANES) store_some(x + i, load_some(x + i, V - i) * factor, V - i);
    x[target] += coefficient;
}

// coefficient * (onehot(target) - p) - entropy_coefficient * p * (log p + entropy). From x itself: exponentials that underflowed would
// have no logarithm.
BODY void row_gradient_with_entropy(float *x, int64_t V, float maximum, double sum, double entropy, int32_t target, float coefficient,
                                    float entropy_coefficient) {
    vector factor = splat((float)(-1 / sum)), rest = splat((float)(entropy - log(sum)));
    for (int64_t i = 0; i < V; i += LANES) {
        vector shifted = load_logits(x + i, V - i) - splat(maximum);
        // A logit of minus infinity has no gradient: 0, not 0 * infinity.
        vector slope = splat(entropy_coefficient) * (vector_maximum(splat(-1.0e4f), shifted) + rest) + splat(coefficient);
        store_some(x + i, vector_exp(shifted) * factor * slope, V - i);
    }
    x[target] += coefficient;
}

static bool is_first_maximum(const float *x, int32_t target, float maximum) {
    if (x[target] != maximum) return false;
    for (int32_t i = 0; i < target; i++)
        if (x[i] == maximum) return false;
    return true;
}

BODY void entropy_rows_body(const struct cross_entropy_job *job, int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++) {
        float *x = job->logits + r * job->V;
        int32_t target = job->targets[r];
        const struct target_scores *scores = &job->scores;
        float maximum = row_maximum(x, job->V), target_logit = x[target];
        float entropy_coefficient = job->entropy_coefficients ? job->entropy_coefficients[r] : 0;
        bool keep = job->coefficients && entropy_coefficient == 0;
        if (scores->hits) scores->hits[r] = is_first_maximum(x, target, maximum) ? 1.0f : 0.0f;
        double sum, weighted, mean = 0, squares = 1;
        if (scores->mean_logits || scores->log_sum_squares) row_moments(x, job->V, maximum, &mean, &squares);
        row_exponentials(x, job->V, maximum, keep, &sum, &weighted);
        double log_sum = log(sum), entropy = log_sum - weighted / sum;
        scores->logp[r] = (float)((double)target_logit - maximum - log_sum);
        if (scores->entropy) scores->entropy[r] = (float)entropy;
        if (scores->mean_logits) scores->mean_logits[r] = (float)mean;
        if (scores->log_sum_squares) scores->log_sum_squares[r] = (float)(log(squares) - 2 * log_sum);
        if (keep) row_gradient(x, job->V, sum, target, job->coefficients[r]);
        else if (job->coefficients)
            row_gradient_with_entropy(x, job->V, maximum, sum, entropy, target, job->coefficients[r], entropy_coefficient);
    }
}
VARIANTS(entropy_rows, (const struct cross_entropy_job *job, int64_t first, int64_t last), (job, first, last))

static void cross_entropy_task(void *context, int64_t task) {
    const struct cross_entropy_job *job = context;
    int64_t rows = rows_per_task(job->V);
    entropy_rows(job, task * rows, smaller(job->R, (task + 1) * rows));
}

void graft_cross_entropy(struct target_scores scores, float *logits, const int32_t *targets, const float *coefficients,
                         const float *entropy_coefficients, int64_t R, int64_t V) {
    struct cross_entropy_job job = {scores, logits, targets, coefficients, entropy_coefficients, R, V};
    pool_run("cross entropy", divide_up(R, rows_per_task(V)), cross_entropy_task, &job);
}
