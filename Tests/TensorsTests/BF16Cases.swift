import Tensors

/// The ops of a layer as they run under `precision: bf16`: activations stored in 16 bits, sums and the residual stream in 32.
let bf16Cases: [OpCase] = [
    OpCase(name: "rms norm to bf16", inputs: [[300, 40], [40]]) { x, _ in
        rmsNorm(x[0], weight: x[1], epsilon: 1e-5, as: .bf16)
    },
    OpCase(name: "rotary to bf16", inputs: [[7, 3 * 20]]) { x, device in
        let angles = RotaryAngles(
            positions: [0, 1, 2, 50, 51, 3, 700], frequencies: [1, 0.3, 0.01, 0.001], device: device)
        return x[0].rotated(by: angles, headDimension: 20, as: .bf16)
    },
    OpCase(name: "silu multiply in bf16", inputs: [[513, 17], [513, 17]]) { x, _ in
        siluMultiply(gate: x[0].scaled(by: 9).stored(as: .bf16), up: x[1].stored(as: .bf16))
    },
    OpCase(name: "scale columns in bf16", inputs: [[600, 37], [37]]) { x, _ in
        x[0].stored(as: .bf16).scalingColumns(by: x[1], as: .bf16)
    },
    OpCase(name: "gather rows to bf16", inputs: [[5, 6]]) { x, _ in gatherRows(x[0], [4, 0, 4, 2], as: .bf16) },
    OpCase(name: "linear in bf16", inputs: [[260, 40], [70, 40], [70]]) { x, _ in
        let operands = LinearOperands(weight: x[1], bias: x[2], precision: .bf16)
        return linear(x[0].stored(as: .bf16), through: [operands], as: [.bf16])[0]
    },
    OpCase(
        name: "two layers with adapters in bf16",
        inputs: [[99, 48], [33, 48], [16, 48], [33, 16], [33, 48], [4, 48], [33, 4]]
    ) { x, _ in
        let layers = [
            LinearOperands(weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 0.5)], precision: .bf16),
            LinearOperands(weight: x[4], lowRank: [.init(a: x[5], b: x[6], scale: 0.25)], precision: .bf16),
        ]
        let y = linear(x[0].stored(as: .bf16), through: layers, as: [.bf16, .f32])
        return y[0] + y[1]
    },
    OpCase(name: "adapter with dropout in bf16", inputs: [[6, 12], [9, 12], [4, 12], [9, 4]]) { x, _ in
        let mask = DropoutMask(
            probability: 0.4, key: RandomKey(seed: 1, purpose: "q_proj", step: 3),
            rowKeys: [0, 0, 0, 8, 8, 8_589_934_592],
            positions: [0, 1, 2, 0, 1, 0])
        let operands = LinearOperands(
            weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 0.5, dropout: mask)], precision: .bf16)
        return linear(x[0].stored(as: .bf16), through: [operands], as: [.f32])[0]
    },
    OpCase(name: "residual in bf16", inputs: [[70, 64], [48, 64], [70, 48]]) { x, _ in
        let operands = LinearOperands(weight: x[1], precision: .bf16)
        return linear(x[0].stored(as: .bf16), through: [operands], addend: x[2], as: [.f32])[0]
    },
    OpCase(name: "attention in bf16", inputs: [[150, 48], [150, 16], [150, 16]]) { x, _ in
        let layout = AttentionLayout([.init(start: 0, count: 70), .init(start: 75, count: 66)], rows: 150)
        return attention(
            q: x[0].stored(as: .bf16), k: x[1].stored(as: .bf16), v: x[2].stored(as: .bf16), layout: layout,
            headDimension: 8, scale: 0.35)
    },
    OpCase(
        name: "attention with outside keys in bf16", inputs: [[70, 64], [70, 32], [70, 32], [70, 32], [70, 32]]
    ) { x, _ in
        let layout = AttentionLayout(
            [
                .init(start: 0, count: 65, segments: [.init(start: 0, count: 70, outside: 0)]),
                .init(
                    start: 65, count: 5, segments: [.init(start: 3, count: 20, outside: 0), .init(start: 0, count: 50)]),
            ], rows: 70)
        return attention(
            q: x[0].stored(as: .bf16), k: x[1].stored(as: .bf16), v: x[2].stored(as: .bf16), layout: layout,
            outside: [.init(keys: x[3], values: x[4])], headDimension: 16, scale: 0.5)
    },
    OpCase(name: "head in bf16", inputs: [[40, 32], [50, 32]]) { x, _ in
        let operands = LinearOperands(weight: x[1], precision: .bf16)
        let targets = (0..<40).map { Int32($0 * 7 % 50) }
        let result = headCrossEntropy(
            x[0].stored(as: .bf16), head: .product(operands), targets: targets,
            coefficients: OpCase.numbers(40, seed: 5))
        return result.loss ?? Tensor([], shape: [0])
    },
]
