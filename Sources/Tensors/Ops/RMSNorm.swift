import CKernels

/// Root-mean-square normalisation over the last size: `y = x / sqrt(mean(x²) + eps) · weight` (Zhang and Sennrich 2019).
///
/// - Parameters:
///   - x: `[T, C]`.
///   - weight: `[C]`.
///   - epsilon: added to the mean square.
/// - Returns: `[T, C]`.
public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) -> Tensor {
    precondition(weight.count == x.columns, "a norm weight of shape \(weight.shape) for rows of shape \(x.shape)")
    let (T, C) = (Int64(x.rows), Int64(x.columns))
    let out = Tensor(uninitialized: x.shape, device: x.device)
    let rstd = Tensor(uninitialized: [x.rows], device: x.device)
    x.device.kernels.rms_norm_forward(out.floats, rstd.floats, x.floats, weight.floats, T, C, epsilon)
    let (input, scale, trainsWeight) = (x.detached, weight.detached, weight.isTracked)
    return out.recorded(from: [x, weight]) { dout in
        // In the forward pass this was: out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).
        let dx = Tensor(uninitialized: input.shape, device: input.device)
        let dweight = trainsWeight ? Tensor.zeros(scale.shape, device: input.device) : nil
        input.device.kernels.rms_norm_backward(
            dx.floats, dweight?.floats, dout.floats, input.floats, scale.floats, rstd.floats, T, C)
        return [dx, dweight]
    }
}
