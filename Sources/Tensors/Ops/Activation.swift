import CKernels

/// A function of each element, by the names that `transformers` gives them.
public enum Activation: String, CaseIterable, Sendable {
    /// `max(x, 0)`.
    case relu
    /// `x · Φ(x)`, exactly (Hendrycks and Gimpel 2016).
    case gelu
    /// `x / (1 + e^-x)`, also called swish.
    case silu
    /// The hyperbolic tangent.
    case tanh

    fileprivate var code: CKernels.activation {
        switch self {
        case .relu: GRAFT_RELU
        case .gelu: GRAFT_GELU
        case .silu: GRAFT_SILU
        case .tanh: GRAFT_TANH
        }
    }
}

extension Tensor {
    /// `f(x)`, elementwise, in f32. Gradient: `dy · f'(x)`.
    public func activated(by function: Activation) -> Tensor {
        let input = detached.converted(to: .f32)
        let out = Tensor(uninitialized: shape, device: device)
        input.device.kernels.activation_forward(out.floats, input.floats, function.code, Int64(count))
        return out.recorded(from: [self]) { dout in
            let dx = Tensor(uninitialized: input.shape, device: input.device)
            withExtendedLifetime(dout) {
                input.device.kernels.activation_backward(
                    dx.floats, dout.floats, input.floats, function.code, Int64(input.count))
            }
            return [dx]
        }
    }
}
