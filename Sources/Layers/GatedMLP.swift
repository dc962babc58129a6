import Tensors

/// The gated feed-forward layer of Llama: `down(silu(gate(x)) · up(x))` (Shazeer 2020).
public final class GatedMLP: Module {
    /// `[intermediateSize, hiddenSize]`.
    public let gateProjection: Linear
    /// `[intermediateSize, hiddenSize]`.
    public let upProjection: Linear
    /// `[hiddenSize, intermediateSize]`.
    public let downProjection: Linear

    /// The projections `gate_proj`, `up_proj` and `down_proj` of a scope.
    public init(_ scope: ParameterScope, hiddenSize: Int, intermediateSize: Int, bias: Bool) throws {
        gateProjection = try Linear(scope["gate_proj"], in: hiddenSize, out: intermediateSize, bias: bias)
        upProjection = try Linear(scope["up_proj"], in: hiddenSize, out: intermediateSize, bias: bias)
        downProjection = try Linear(scope["down_proj"], in: intermediateSize, out: hiddenSize, bias: bias)
    }

    /// The projections.
    public var children: [(name: String, module: any Module)] {
        [("gate_proj", gateProjection), ("up_proj", upProjection), ("down_proj", downProjection)]
    }

    /// `[T, hiddenSize]` to `[T, hiddenSize]`, plus `residual` where there is one.
    public func callAsFunction(_ x: Tensor, addedTo residual: Tensor?, _ context: ForwardContext) -> Tensor {
        let types = [context.activations, context.activations]
        let projected = project(x, through: [gateProjection, upProjection], as: types, context)
        return downProjection(siluMultiply(gate: projected[0], up: projected[1]), addedTo: residual, context)
    }
}
