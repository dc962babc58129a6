import Tensors

/// Grouped-query self-attention with rotary positions: `o_proj(softmax(q kᵀ / sqrt(d)) v)`.
public final class Attention: Module {
    /// Sizes of an attention layer.
    public struct Shape: Hashable, Sendable {
        /// Channels of the residual stream.
        public var hiddenSize: Int
        /// Query heads.
        public var heads: Int
        /// Key and value heads; each is read by `heads / keyValueHeads` query heads.
        public var keyValueHeads: Int
        /// Channels a head.
        public var headDimension: Int

        /// Makes a shape.
        public init(hiddenSize: Int, heads: Int, keyValueHeads: Int, headDimension: Int) {
            self.hiddenSize = hiddenSize
            self.heads = heads
            self.keyValueHeads = keyValueHeads
            self.headDimension = headDimension
        }
    }

    /// The sizes.
    public let shape: Shape
    private let layer: Int
    /// Queries, `[heads · headDimension, hiddenSize]`.
    public let queryProjection: Linear
    /// Keys, `[keyValueHeads · headDimension, hiddenSize]`.
    public let keyProjection: Linear
    /// Values, of the keys' shape.
    public let valueProjection: Linear
    /// Back to the residual stream, `[hiddenSize, heads · headDimension]`.
    public let outputProjection: Linear

    /// The projections `q_proj`, `k_proj`, `v_proj` and `o_proj` of a scope.
    public init(_ scope: ParameterScope, layer: Int, shape: Shape, bias: Bool, outputBias: Bool) throws {
        self.shape = shape
        self.layer = layer
        let (queries, keys) = (shape.heads * shape.headDimension, shape.keyValueHeads * shape.headDimension)
        queryProjection = try Linear(scope["q_proj"], in: shape.hiddenSize, out: queries, bias: bias)
        keyProjection = try Linear(scope["k_proj"], in: shape.hiddenSize, out: keys, bias: bias)
        valueProjection = try Linear(scope["v_proj"], in: shape.hiddenSize, out: keys, bias: bias)
        outputProjection = try Linear(scope["o_proj"], in: queries, out: shape.hiddenSize, bias: outputBias)
    }

    /// The projections.
    public var children: [(name: String, module: any Module)] {
        [
            ("q_proj", queryProjection), ("k_proj", keyProjection), ("v_proj", valueProjection),
            ("o_proj", outputProjection),
        ]
    }

    /// `[T, hiddenSize]` to `[T, hiddenSize]`, plus `residual` where there is one. Where the context has no cache, segments of the layout
    /// may name `prefixes`.
    public func callAsFunction(
        _ x: Tensor, _ angles: RotaryAngles, prefixes: [OutsideKeys] = [], addedTo residual: Tensor?,
        _ context: ForwardContext
    ) -> Tensor {
        // Queries and keys are rounded once, after they are rotated.
        let projected = project(
            x, through: [queryProjection, keyProjection, valueProjection], as: [.f32, .f32, context.activations],
            context)
        let rotated = projected[..<2].map {
            $0.rotated(by: angles, headDimension: shape.headDimension, as: context.activations)
        }
        let (q, k, v) = (rotated[0], rotated[1], projected[2])
        let outside = context.keyValues?.outside(layer: layer) ?? prefixes
        context.keyValues?.store(layer: layer, keys: k, values: v)
        let layout = context.layout.attention
        let attend = context.isDecoding && layout.hasSingleRows ? decodingAttention : attention
        let mixed = attend(q, k, v, layout, outside, shape.headDimension, 1 / Float(shape.headDimension).squareRoot())
        return outputProjection(mixed, addedTo: residual, context)
    }
}
