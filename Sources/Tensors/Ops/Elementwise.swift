import CKernels

extension Tensor {
    /// `a + b`, elementwise, of one shape, in f32. Gradient: that of the sum, to both.
    public static func + (a: Tensor, b: Tensor) -> Tensor {
        precondition(a.shape == b.shape, "cannot add shapes \(a.shape) and \(b.shape)")
        let (a, b) = (a.stored(as: .f32), b.stored(as: .f32))
        let out = Tensor(uninitialized: a.shape, device: a.device)
        a.device.kernels.add(out.floats, a.floats, b.floats, Int64(a.count))
        return out.recorded(from: [a, b]) { [$0, $0] }
    }

    /// `factor · a`, in f32. Gradient: `factor · dy`.
    public func scaled(by factor: Float) -> Tensor {
        let out = Tensor(uninitialized: shape, device: device)
        let input = converted(to: .f32)
        device.kernels.scale(out.floats, input.floats, factor, Int64(count))
        return out.recorded(from: [self]) { [$0.scaled(by: factor)] }
    }

    /// The same numbers stored differently, on the tape. Gradient: that of the result.
    public func stored(as type: DType) -> Tensor {
        guard type != dtype else { return self }
        let original = dtype
        return converted(to: type).recorded(from: [self]) { [$0.converted(to: original)] }
    }

    /// Adds `factor · other` into this tensor's memory: for gradients and optimizer states, never for a tensor on a tape.
    public func addInPlace(_ other: Tensor, factor: Float = 1) {
        precondition(shape == other.shape, "cannot add shape \(other.shape) into \(shape)")
        device.kernels.add_scaled(floats, other.floats, factor, Int64(count))
    }

    /// The sum of all elements, in f64.
    public var sum: Double { device.kernels.sum(floats, Int64(count)) }

    /// The sum of all elements' squares, in f64.
    public var sumOfSquares: Double { device.kernels.sum_of_squares(floats, Int64(count)) }
}

/// The gated activation of Llama's MLP: `silu(gate) · up`, where `silu(g) = g / (1 + e^-g)`. Both inputs of one shape and type.
public func siluMultiply(gate: Tensor, up: Tensor) -> Tensor {
    precondition(
        gate.shape == up.shape && gate.dtype == up.dtype,
        "gate of shape \(gate.shape) in \(gate.dtype), up of shape \(up.shape) in \(up.dtype)")
    let (g, u) = (gate.detached, up.detached)
    func empty() -> Tensor { Tensor(uninitialized: g.shape, dtype: g.dtype, device: g.device) }
    let forward = {
        let out = empty()
        g.device.kernels.silu_multiply_forward(out.array, g.matrix, u.matrix, Int64(g.count))
        return out
    }
    return forward().recorded(from: [gate, up]) { dout in
        // In the forward pass this was: out = silu(gate) * up.
        let (dgate, dup, upstream) = (empty(), empty(), dout.converted(to: g.dtype))
        g.device.kernels.silu_multiply_backward(
            dgate.array, dup.array, upstream.matrix, g.matrix, u.matrix, Int64(g.count))
        return [dgate, dup]
    }.rebuilt(by: forward)
}
