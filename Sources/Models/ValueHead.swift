import Layers
import Tensors

/// What is still expected of an answer, from each token's hidden state: `v = h wᵀ + b`. It begins at zero everywhere.
public final class ValueHead: Module {
    private let linear: Linear

    /// A head over hidden states of a size, trainable.
    public init(hiddenSize: Int) {
        linear = Linear(
            weight: Parameter(Tensor(repeating: 0, shape: [1, hiddenSize]), isTrainable: true),
            bias: Parameter(Tensor(repeating: 0, shape: [1]), isTrainable: true))
    }

    /// Weight and bias.
    public var ownParameters: [(name: String, parameter: Parameter)] { linear.ownParameters }

    /// `[rows, hiddenSize]` to `[rows, 1]`.
    public func callAsFunction(_ hidden: Tensor, _ context: ForwardContext) -> Tensor { linear(hidden, context) }
}
