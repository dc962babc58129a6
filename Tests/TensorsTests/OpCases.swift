import Tensors
import Testing

/// One op on one set of shapes: the same case serves the reference check, the finite-difference check and the thread check.
struct OpCase: Sendable, CustomTestStringConvertible {
    let name: String
    /// Shapes of the inputs, which are filled with numbers in (-1, 1).
    let inputs: [[Int]]
    let run: @Sendable ([Tensor], Device) -> Tensor

    var testDescription: String { "\(name) \(inputs)" }

    /// The op's output and the gradients of all inputs for a fixed upstream gradient, of numbers that `dtype` holds.
    func evaluate(
        on device: Device, inputs values: [[Float]], upstream dtype: DType = .f32
    ) -> (output: [Float], gradients: [[Float]]) {
        let tape = Tape()
        let leaves = zip(values, inputs).map { tape.leaf(Tensor($0, shape: $1, device: device)) }
        let output = run(leaves, device)
        let numbers = Tensor(Self.numbers(output.count, seed: 99), shape: output.shape)
        let upstream = Tensor(numbers.converted(to: dtype).values, shape: output.shape, device: device)
        tape.backward(from: output, gradient: upstream)
        return (output.values, leaves.map { tape.gradient(of: $0)?.values ?? [] })
    }

    /// `Σ upstream · output`: what the finite differences are of.
    func projection(on device: Device, inputs values: [[Float]]) -> Double {
        let output = run(zip(values, inputs).map { Tensor($0, shape: $1, device: device) }, device).values
        return zip(output, Self.numbers(output.count, seed: 99)).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }

    func sampleInputs() -> [[Float]] {
        inputs.enumerated().map { Self.numbers($1.reduce(1, *), seed: UInt64($0 + 1)) }
    }

    static func numbers(_ count: Int, seed: UInt64) -> [Float] {
        var generator = RandomGenerator(RandomKey(seed: seed, purpose: "op case"))
        return (0..<count).map { _ in Float(generator.uniform() * 2 - 1) }
    }
}

/// Every op, on shapes that cross the kernels' block sizes.
let opCases: [OpCase] =
    elementwiseCases + linearCases + attentionCases + [
        OpCase(name: "rms norm", inputs: [[3, 16], [16]]) { x, _ in rmsNorm(x[0], weight: x[1], epsilon: 1e-5) },
        OpCase(name: "rms norm", inputs: [[300, 40], [40]]) { x, _ in rmsNorm(x[0], weight: x[1], epsilon: 1e-5) },
        OpCase(name: "rotary", inputs: [[7, 3 * 8]]) { x, device in
            let angles = RotaryAngles(
                positions: [0, 1, 2, 50, 51, 3, 700], frequencies: [1, 0.3, 0.01, 0.001], scale: 1.1, device: device)
            return x[0].rotated(by: angles, headDimension: 8)
        },
        OpCase(name: "rotary of half a head", inputs: [[2, 2 * 8]]) { x, device in
            let angles = RotaryAngles(positions: [3, 4], frequencies: [1, 0.1], device: device)
            return x[0].rotated(by: angles, headDimension: 8)
        },
        OpCase(name: "gather rows", inputs: [[5, 6]]) { x, _ in gatherRows(x[0], [4, 0, 4, 2, 4, 0]) },
        OpCase(name: "head", inputs: [[5, 12], [33, 12]]) { x, _ in head(x[0], LinearOperands(weight: x[1])) },
        OpCase(name: "head with adapter", inputs: [[40, 12], [33, 12], [2, 12], [33, 2]]) { x, _ in
            head(x[0], LinearOperands(weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 0.5)]))
        },
        OpCase(name: "head scores, of which the loss is made later", inputs: [[40, 12], [33, 12]]) { x, _ in
            laterLoss(x[0], LinearOperands(weight: x[1]))
        },
        OpCase(name: "head scores with a frozen head", inputs: [[40, 12]]) { x, device in
            let weight = Tensor(OpCase.numbers(33 * 12, seed: 6), shape: [33, 12], device: device)
            return laterLoss(x[0], LinearOperands(weight: weight))
        },
        OpCase(name: "head scores with entropies", inputs: [[40, 12], [33, 12]]) { x, _ in
            entropyLoss(x[0], LinearOperands(weight: x[1]), expectsEntropies: true)
        },
        OpCase(name: "head scores with entropies that nobody expected", inputs: [[300, 12]]) { x, device in
            let weight = Tensor(OpCase.numbers(33 * 12, seed: 6), shape: [33, 12], device: device)
            return entropyLoss(x[0], LinearOperands(weight: weight), expectsEntropies: false)
        },
    ]

private let elementwiseCases: [OpCase] = [
    OpCase(name: "add", inputs: [[5, 3], [5, 3]]) { x, _ in x[0] + x[1] },
    OpCase(name: "add to itself", inputs: [[300, 7]]) { x, _ in x[0] + x[0] },
    OpCase(name: "scale", inputs: [[11]]) { x, _ in x[0].scaled(by: -0.7) },
    OpCase(name: "scale columns", inputs: [[5, 3], [3]]) { x, _ in x[0].scalingColumns(by: x[1]) },
    OpCase(name: "scale columns onto a residual", inputs: [[600, 37], [37], [37], [600, 37]]) { x, _ in
        x[0].scalingColumns(by: x[1], bias: x[2], addend: x[3])
    },
    OpCase(name: "scale columns before a product", inputs: [[7, 20], [20], [5, 20]]) { x, _ in
        LinearOperands(weight: x[2])(x[0].scalingColumns(by: x[1]))
    },
    OpCase(name: "dropout", inputs: [[3, 9]]) { x, _ in
        DropoutMask(
            probability: 0.4, key: RandomKey(seed: 1, purpose: "x"), rowKeys: [0, 0, 1], positions: [0, 1, 0]
        ).dropping(x[0])
    },
    OpCase(name: "stacked rows", inputs: [[2, 5], [3, 5], [1, 5]]) { x, _ in stackedRows(x) },
    OpCase(name: "stacked rows, one twice", inputs: [[2, 5]]) { x, _ in stackedRows([x[0], x[0]]) },
    OpCase(name: "column blocks", inputs: [[3, 12]]) { x, _ in
        let blocks = x[0].columnBlocks(4)
        return blocks[2] + blocks[0].scaled(by: 0.5)
    },
    OpCase(name: "relu", inputs: [[5, 9]]) { x, _ in x[0].activated(by: .relu) },
    OpCase(name: "gelu", inputs: [[700, 9]]) { x, _ in x[0].scaled(by: 4).activated(by: .gelu) },
    OpCase(name: "silu", inputs: [[700, 9]]) { x, _ in x[0].scaled(by: 9).activated(by: .silu) },
    OpCase(name: "tanh", inputs: [[700, 9]]) { x, _ in x[0].scaled(by: 3).activated(by: .tanh) },
    OpCase(name: "silu multiply", inputs: [[4, 9], [4, 9]]) { x, _ in siluMultiply(gate: x[0], up: x[1]) },
    OpCase(name: "silu multiply", inputs: [[513, 17], [513, 17]]) { x, _ in
        siluMultiply(gate: x[0].scaled(by: 9), up: x[1])
    },
]

private let linearCases: [OpCase] = [
    OpCase(name: "linear", inputs: [[3, 8], [5, 8]]) { x, _ in LinearOperands(weight: x[1])(x[0]) },
    OpCase(name: "linear", inputs: [[513, 40], [70, 40]]) { x, _ in LinearOperands(weight: x[1])(x[0]) },
    OpCase(name: "linear with bias", inputs: [[260, 8], [5, 8], [5]]) { x, _ in
        LinearOperands(weight: x[1], bias: x[2])(x[0])
    },
    OpCase(name: "two adapters", inputs: [[258, 12], [9, 12], [4, 12], [9, 4], [2, 12], [9, 2]]) { x, _ in
        LinearOperands(
            weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 0.5), .init(a: x[4], b: x[5], scale: -2)])(x[0])
    },
    OpCase(name: "adapter with dropout", inputs: [[6, 12], [9, 12], [4, 12], [9, 4]]) { x, _ in
        let mask = DropoutMask(
            probability: 0.4, key: RandomKey(seed: 1, purpose: "q_proj", step: 3),
            rowKeys: [0, 0, 0, 8, 8, 8_589_934_592], positions: [0, 1, 2, 0, 1, 0])
        return LinearOperands(weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 0.5, dropout: mask)])(x[0])
    },
    decodingCase(rows: 1, out: 70, in: 40),
    decodingCase(rows: 3, out: 71, in: 64),
    decodingCase(rows: 17, out: 5, in: 7),
    OpCase(name: "decoding with adapter", inputs: [[30, 72], [603, 72], [3, 72], [603, 3], [603]]) { x, _ in
        LinearOperands(weight: x[1], bias: x[4], lowRank: [.init(a: x[2], b: x[3], scale: -1.5)])(
            x[0], isDecoding: true)
    },
    OpCase(
        name: "decoding, two layers with adapters",
        inputs: [[3, 40], [9, 40], [4, 40], [9, 4], [9, 40], [2, 40], [9, 2], [3, 40], [9, 3]]
    ) { x, _ in
        let first = LinearOperands(weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 0.5)])
        let second = LinearOperands(
            weight: x[4], lowRank: [.init(a: x[5], b: x[6], scale: 2), .init(a: x[7], b: x[8], scale: -1)])
        let y = decodingLinear(x[0], through: [first, second])
        return y[0] + y[1].scaled(by: 0.3)
    },
    OpCase(name: "decoding onto a residual", inputs: [[3, 33], [9, 33], [3, 9]]) { x, _ in
        decodingLinear(x[0], through: [LinearOperands(weight: x[1])], addend: x[2])[0]
    },
]

private func decodingCase(rows: Int, out: Int, in inner: Int) -> OpCase {
    OpCase(name: "decoding", inputs: [[rows, inner], [out, inner]]) { x, _ in
        LinearOperands(weight: x[1])(x[0], isDecoding: true)
    }
}

private let attentionCases: [OpCase] = [
    attentionCase("one sequence", rows: 5, heads: 2, keyValueHeads: 1, dimension: 4, [.init(start: 0, count: 5)]),
    attentionCase(
        "packed, with rows outside", rows: 150, heads: 3, keyValueHeads: 3, dimension: 8,
        [.init(start: 0, count: 1), .init(start: 1, count: 70), .init(start: 75, count: 66)]),
    attentionCase("long", rows: 200, heads: 4, keyValueHeads: 2, dimension: 16, [.init(start: 0, count: 200)]),
    attentionCase(
        "shared parent", rows: 90, heads: 2, keyValueHeads: 1, dimension: 8,
        [
            .init(start: 0, count: 66), .init(start: 66, count: 9, segments: [.init(start: 0, count: 65)]),
            .init(start: 75, count: 8, segments: [.init(start: 0, count: 65)]),
            .init(
                start: 83, count: 7,
                segments: [.init(start: 0, count: 30), .init(start: 66, count: 0), .init(start: 75, count: 3)]),
        ]),
    OpCase(name: "attention with outside keys", inputs: [[9, 16], [9, 8], [9, 8], [70, 8], [70, 8]]) { x, _ in
        let layout = AttentionLayout(
            [
                .init(start: 0, count: 4, segments: [.init(start: 0, count: 70, outside: 0)]),
                .init(
                    start: 4, count: 5, segments: [.init(start: 3, count: 20, outside: 0), .init(start: 0, count: 4)]),
            ], rows: 9)
        return attention(
            q: x[0], k: x[1], v: x[2], layout: layout, outside: [.init(keys: x[3], values: x[4])], headDimension: 4,
            scale: 0.5)
    },
]

private func attentionCase(
    _ name: String, rows: Int, heads: Int, keyValueHeads: Int, dimension: Int, _ sequences: [AttentionLayout.Sequence]
) -> OpCase {
    let keys = [rows, keyValueHeads * dimension]
    return OpCase(name: "attention, \(name)", inputs: [[rows, heads * dimension], keys, keys]) { x, _ in
        attention(
            q: x[0].scaled(by: 3), k: x[1], v: x[2], layout: AttentionLayout(sequences, rows: rows),
            headDimension: dimension, scale: 1 / Float(dimension).squareRoot())
    }
}

/// The head as an op of one output: a loss with a coefficient of its own for each row.
/// `Σ (c + ½ log p) log p`, whose coefficients `c + log p` depend on the scores.
private func laterLoss(_ x: Tensor, _ operands: LinearOperands) -> Tensor {
    let weights = OpCase.numbers(x.rows, seed: 5)
    let result = HeadScores(
        x, head: .product(operands), targets: (0..<x.rows).map { Int32($0 * 7 % operands.weight.rows) })
    let logp = result.scores.logProbabilities
    let value = zip(weights, logp).reduce(0.0) { $0 + Double(($1.0 + $1.1 / 2) * $1.1) }
    return result.loss(value, coefficients: zip(weights, logp).map { $0 + $1 })
}

/// `Σ (c log p + e H)`, e zero in every third row; with the gradient kept in the pass that scores or not.
private func entropyLoss(_ x: Tensor, _ operands: LinearOperands, expectsEntropies: Bool) -> Tensor {
    let (weights, slopes) = (OpCase.numbers(x.rows, seed: 5), OpCase.numbers(x.rows, seed: 6))
    let entropies = slopes.enumerated().map { $0 % 3 == 0 ? 0 : $1 }
    let result = HeadScores(
        x, head: .product(operands), targets: (0..<x.rows).map { Int32($0 * 7 % operands.weight.rows) },
        expectsEntropies: expectsEntropies)
    func sum(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0.0) { $0 + Double($1.0 * $1.1) } }
    return result.loss(
        sum(weights, result.scores.logProbabilities) + sum(entropies, result.scores.entropies), coefficients: weights,
        entropyCoefficients: entropies)
}

private func head(_ x: Tensor, _ operands: LinearOperands) -> Tensor {
    let coefficients = OpCase.numbers(x.rows, seed: 5)
    let targets = (0..<x.rows).map { Int32($0 * 7 % operands.weight.rows) }
    let result = headCrossEntropy(x, head: .product(operands), targets: targets, coefficients: coefficients)
    return result.loss ?? Tensor([], shape: [0])
}
