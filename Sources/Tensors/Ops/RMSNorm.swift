import CKernels

/// Root-mean-square normalisation over the last size: `y = x / sqrt(mean(x²) + eps) · weight` (Zhang and Sennrich 2019).
///
/// - Parameters:
///   - x: `[T, C]`.
///   - weight: `[C]`.
///   - epsilon: added to the mean square.
///   - type: how the result is stored.
/// - Returns: `[T, C]`.
public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, as type: DType = .f32) -> Tensor {
    precondition(weight.count == x.columns, "a norm weight of shape \(weight.shape) for rows of shape \(x.shape)")
    let (input, scale, trainsWeight) = (x.detached, weight.detached, weight.isTracked)
    let rstd = Tensor(uninitialized: [x.rows], device: x.device)
    let forward = {
        let out = Tensor(uninitialized: input.shape, dtype: type, device: input.device)
        input.device.kernels.rms_norm_forward(
            out.array, rstd.floats, input.floats, scale.floats, Int64(input.rows), Int64(input.columns), epsilon)
        return out
    }
    return forward().recorded(from: [x, weight]) { dout in
        // In the forward pass this was: out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).
        let dx = Tensor(uninitialized: input.shape, device: input.device)
        let dweight = trainsWeight ? Tensor.zeros(scale.shape, device: input.device) : nil
        input.device.kernels.rms_norm_backward(
            dx.floats, dweight?.floats, dout.matrix, input.floats, scale.floats, rstd.floats, Int64(input.rows),
            Int64(input.columns))
        return [dx, dweight]
    }.rebuilt(by: forward)
}
