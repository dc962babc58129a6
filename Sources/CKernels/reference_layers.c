// Reference loops of layers, loss and optimizers.
#include "philox.h"
#include "reference.h"

#include <math.h>

void reference_rms_norm_forward(struct array out, float *rstd, const float *x, const float *weight, int64_t T, int64_t C,
                                float eps) {
    for (int64_t t = 0; t < T; t++) {
        double squares = 0;
        for (int64_t c = 0; c < C; c++) squares += (double)x[t * C + c] * x[t * C + c];
        double scale = 1 / sqrt(squares / (double)C + eps);
        rstd[t] = (float)scale;
        for (int64_t c = 0; c < C; c++) reference_store(out, t * C + c, x[t * C + c] * scale * weight[c]);
    }
}

void reference_rms_norm_backward(float *dx, float *dweight, struct matrix dout, const float *x, const float *weight,
                                 const float *rstd, int64_t T, int64_t C) {
    for (int64_t c = 0; dweight && c < C; c++) {
        double sum = dweight[c];
        for (int64_t t = 0; t < T; t++) sum += reference_element(dout, t * C + c) * x[t * C + c] * rstd[t];
        dweight[c] = (float)sum;
    }
    for (int64_t t = 0; t < T; t++) {
        double projection = 0, scale = rstd[t];
        for (int64_t c = 0; c < C; c++) projection += reference_element(dout, t * C + c) * weight[c] * x[t * C + c] * scale;
        for (int64_t c = 0; c < C; c++) {
            double n = x[t * C + c] * scale, g = reference_element(dout, t * C + c) * weight[c];
            dx[t * C + c] = (float)(scale * (g - n * projection / (double)C));
        }
    }
}

void reference_rotary(struct array out, struct matrix x, const float *cosines, const float *sines, int64_t T, int64_t H,
                      int64_t D, int64_t rotary_dim, bool inverse) {
    int64_t half = rotary_dim / 2;
    for (int64_t i = 0; i < T * H; i++) {
        for (int64_t d = 0; d < half; d++) {
            double a = reference_element(x, i * D + d), b = reference_element(x, i * D + d + half), c = cosines[i / H * half + d];
            double s = (inverse ? -1 : 1) * (double)sines[i / H * half + d];
            reference_store(out, i * D + d, a * c - b * s);
            reference_store(out, i * D + d + half, b * c + a * s);
        }
        for (int64_t d = 2 * half; d < D; d++) reference_store(out, i * D + d, reference_element(x, i * D + d));
    }
}

void reference_silu_multiply_forward(struct array out, struct matrix gate, struct matrix up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double g = reference_element(gate, i);
        reference_store(out, i, g / (1 + exp(-g)) * reference_element(up, i));
    }
}

void reference_silu_multiply_backward(struct array dgate, struct array dup, struct matrix dout, struct matrix gate,
                                      struct matrix up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double g = reference_element(gate, i), s = 1 / (1 + exp(-g)), d = reference_element(dout, i);
        double u = reference_element(up, i);
        reference_store(dgate, i, d * u * s * (1 + g * (1 - s)));
        reference_store(dup, i, d * g * s);
    }
}

void reference_activation_forward(float *out, const float *x, enum activation kind, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double v = x[i], s = 1 / (1 + exp(-v));
        switch (kind) {
        case GRAFT_RELU: out[i] = (float)fmax(v, 0); break;
        case GRAFT_GELU: out[i] = (float)(v * 0.5 * erfc(-v / sqrt(2))); break;
        case GRAFT_SILU: out[i] = (float)(v * s); break;
        default: out[i] = (float)tanh(v);
        }
    }
}

void reference_activation_backward(float *dx, const float *dout, const float *x, enum activation kind, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double v = x[i], s = 1 / (1 + exp(-v)), slope;
        switch (kind) {
        case GRAFT_RELU: slope = v > 0; break;
        case GRAFT_GELU: slope = 0.5 * erfc(-v / sqrt(2)) + v * exp(-v * v / 2) / sqrt(2 * acos(-1)); break;
        case GRAFT_SILU: slope = s * (1 + v * (1 - s)); break;
        default: slope = 1 - tanh(v) * tanh(v);
        }
        dx[i] = (float)(dout[i] * slope);
    }
}

void reference_cross_entropy(struct target_scores scores, float *logits, const int32_t *targets, const float *coefficients,
                             const float *entropy_coefficients, int64_t R, int64_t V) {
    for (int64_t r = 0; r < R; r++) {
        float *x = logits + r * V;
        int64_t best = 0;
        for (int64_t i = 1; i < V; i++) best = x[i] > x[best] ? i : best;
        double sum = 0, maximum = x[best], mean = 0, logits_sum = 0, squares = 0;
        for (int64_t i = 0; i < V; i++) sum += exp(x[i] - maximum);
        double log_sum = maximum + log(sum);
        for (int64_t i = 0; i < V; i++) mean += x[i] == -INFINITY ? 0 : exp(x[i] - log_sum) * (x[i] - log_sum);
        for (int64_t i = 0; i < V; i++) logits_sum += x[i], squares += exp(2 * (x[i] - log_sum));
        scores.logp[r] = (float)(x[targets[r]] - log_sum);
        if (scores.entropy) scores.entropy[r] = (float)-mean;
        if (scores.hits) scores.hits[r] = best == targets[r];
        if (scores.mean_logits) scores.mean_logits[r] = (float)(logits_sum / (double)V);
        if (scores.log_sum_squares) scores.log_sum_squares[r] = (float)log(squares);
        double slope = entropy_coefficients ? entropy_coefficients[r] : 0;
        for (int64_t i = 0; coefficients && i < V; i++) {
            double log_p = x[i] - log_sum, surprise = x[i] == -INFINITY ? 0 : exp(log_p) * (log_p - mean);
            x[i] = (float)(coefficients[r] * ((i == targets[r] ? 1 : 0) - exp(log_p)) - slope * surprise);
        }
    }
}

void reference_dropout(struct array out, struct matrix x, const int64_t *row_keys, const int32_t *positions, float p,
                       uint64_t key, int64_t T, int64_t C) {
    for (int64_t i = 0; i < T * C; i++) {
        int64_t t = i / C, c = i % C;
        uint64_t row = (uint64_t)row_keys[t];
        uint32_t counter[4] = {(uint32_t)(c / 4), (uint32_t)positions[t], (uint32_t)row, (uint32_t)(row >> 32)}, words[4];
        graft_philox(words, counter, key);
        reference_store(out, i, words[c % 4] >= dropout_threshold(p) ? reference_element(x, i) / (1.0 - p) : 0);
    }
}

void reference_adamw_step(float *w, float *m, float *v, const float *g, int64_t n, struct adamw_constants k) {
    for (int64_t i = 0; i < n; i++) {
        double gradient = (double)g[i] * k.gradient_scale;
        double first = m[i] + (double)k.beta1_rest * (gradient - m[i]);
        double second = (double)k.beta2 * v[i] + (double)k.beta2_rest * gradient * gradient;
        double denominator = sqrt(second) / sqrt(k.bias_correction2) + k.epsilon;
        double decayed = w[i] * (1 - (double)k.learning_rate * k.weight_decay);
        w[i] = (float)(decayed - k.learning_rate / k.bias_correction1 * first / denominator);
        m[i] = (float)first, v[i] = (float)second;
    }
}

void reference_sgd_step(float *w, float *momentum_buffer, const float *g, int64_t n, float learning_rate, float momentum,
                        float weight_decay, float gradient_scale, bool first_step) {
    for (int64_t i = 0; i < n; i++) {
        double step = (double)g[i] * gradient_scale + (double)weight_decay * w[i];
        if (momentum_buffer) {
            step = first_step ? step : (double)momentum * momentum_buffer[i] + step;
            momentum_buffer[i] = (float)step;
        }
        w[i] = (float)(w[i] - learning_rate * step);
    }
}
