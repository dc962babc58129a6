import Files
import Layers
import Tensors

/// What is still expected of an answer, from each token's hidden state: `v = h wᵀ + b`. It begins at zero everywhere.
public final class ValueHead: Module {
    private let linear: Linear

    /// TRL's names in files.
    private static let names = (weight: "v_head.summary.weight", bias: "v_head.summary.bias")

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

    /// Reads a file that ``write(to:)`` wrote, or the head of TRL's `AutoModelForCausalLMWithValueHead`.
    ///
    /// - Throws: `InputError` where a tensor is missing or of another shape.
    public func read(_ path: String) throws {
        let file = try SafetensorsFile(path)
        for (name, parameter) in named {
            let (held, expected) = (try file.entry(name).shape, parameter.value.shape)
            guard held == expected else {
                throw InputError("'\(name)' has the shape \(held), the model needs \(expected)", file: path)
            }
            var values = [Float](repeating: 0, count: parameter.value.count)
            try values.withUnsafeMutableBufferPointer { try file.readFloats(name, into: $0) }
            parameter.value = Tensor(values, shape: expected)
        }
    }

    /// Writes the head in f32.
    ///
    /// - Throws: `RunError` where the disk is full or the file cannot be written.
    public func write(to path: String) throws {
        try SafetensorsWriter.write(
            named.map { SafetensorsTensor($0.name, shape: $0.parameter.value.shape, $0.parameter.value.values) },
            metadata: ["format": "pt"], to: path)
    }

    private var named: [(name: String, parameter: Parameter)] {
        zip([Self.names.weight, Self.names.bias], ownParameters).map { ($0, $1.parameter) }
    }
}
