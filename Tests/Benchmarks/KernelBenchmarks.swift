import Foundation
import Tensors
import Testing

/// Each fast kernel beside its plain twin, on the shapes of a small model's layers: `make benchmark`.
///
/// Figures to look at, not to pass or fail by: machines differ and drift. The ratio of the two is steadier than either.
@Suite("Kernel benchmarks", .enabled(if: ProcessInfo.processInfo.environment["GRAFT_BENCHMARK"] != nil), .serialized)
struct KernelBenchmarks {
    @Test("forward and backward beside plain loops") func ratios() {
        print(
            "\(Device.cpu.threads) threads, \(Device.cpu.path); milliseconds of the kernel, and how many times as long plain loops take"
        )
        for benchmark in kernelBenchmarks {
            let fast = benchmark.milliseconds(on: .cpu, repetitions: 7)
            let plain = benchmark.milliseconds(on: .reference, repetitions: 1)
            let ratio = plain * Double(benchmark.rows) / Double(benchmark.plainRows) / fast
            print(String(format: "%9.3f ms %8.0f ×  ", fast, ratio) + benchmark.name)
        }
    }
}

/// One op on inputs of given shapes. Plain loops run on fewer rows, and their time is scaled up.
struct KernelBenchmark: Sendable {
    let name: String
    var rows = 1024
    var plainRows = 16
    /// Shapes of the inputs for a number of rows.
    let shapes: @Sendable (Int) -> [[Int]]
    /// How the second input, a weight, is stored; nil where it is trained.
    var storage: DType?
    let run: @Sendable ([Tensor], Device) -> Tensor

    /// The shortest of some runs, forward and (unless frozen inputs leave nothing to do) backward.
    func milliseconds(on device: Device, repetitions: Int) -> Double {
        let isPlain = device.path == Device.reference.path
        let shapes = shapes(isPlain ? plainRows : rows)
        let tensors = shapes.enumerated().map { index, shape -> Tensor in
            var generator = RandomGenerator(RandomKey(seed: UInt64(index), purpose: "benchmark"))
            let values = (0..<shape.reduce(1, *)).map { _ in Float(generator.uniform() * 2 - 1) }
            let tensor = Tensor(values, shape: shape, device: device)
            return index == 1 ? storage.map { tensor.converted(to: $0) } ?? tensor : tensor
        }
        let times = (0..<repetitions).map { _ -> Double in
            let tape = Tape()
            let inputs = tensors.enumerated().map { $0 == 1 && storage != nil ? $1 : tape.leaf($1) }
            let start = ContinuousClock.now
            tape.backward(from: run(inputs, device))
            return (ContinuousClock.now - start) / .milliseconds(1)
        }
        return times.min() ?? .nan
    }
}

private let (hidden, intermediate, heads, keyValueHeads, headDimension) = (576, 1536, 9, 3, 64)

/// The kernels of a decoder layer in the shapes of SmolLM2-135M.
let kernelBenchmarks: [KernelBenchmark] =
    Precision.allCases.flatMap { precision -> [KernelBenchmark] in
        let type = precision.activations
        return [
            linearBenchmark("product", precision, stored: .f32), linearBenchmark("product", precision, stored: .bf16),
            KernelBenchmark(
                name: "product with LoRA of rank 16, \(precision)",
                shapes: { [[$0, hidden], [intermediate, hidden], [16, hidden], [intermediate, 16]] }, storage: .bf16
            ) { x, _ in
                let operands = LinearOperands(
                    weight: x[1], lowRank: [.init(a: x[2], b: x[3], scale: 2)], precision: precision)
                return linear(x[0].stored(as: type), through: [operands], as: [type])[0]
            },
            KernelBenchmark(
                name: "attention, \(precision)", rows: 256, plainRows: 256,
                shapes: { [[$0, heads * 64], [$0, keyValueHeads * 64], [$0, keyValueHeads * 64]] }
            ) { x, _ in
                attention(
                    q: x[0].stored(as: type), k: x[1].stored(as: type), v: x[2].stored(as: type),
                    layout: AttentionLayout([.init(start: 0, count: x[0].rows)], rows: x[0].rows),
                    headDimension: headDimension, scale: 0.125)
            },
            KernelBenchmark(name: "rms norm, \(precision)", shapes: { [[$0, hidden], [hidden]] }) { x, _ in
                rmsNorm(x[0], weight: x[1], epsilon: 1e-5, as: type)
            },
            KernelBenchmark(
                name: "silu multiply, \(precision)", shapes: { [[$0, intermediate], [$0, intermediate]] }
            ) { x, _ in siluMultiply(gate: x[0].stored(as: type), up: x[1].stored(as: type)) },
            KernelBenchmark(
                name: "head and cross-entropy, \(precision)", rows: 256, plainRows: 2,
                shapes: { [[$0, hidden], [49152, hidden]] }, storage: .bf16
            ) { x, _ in
                headCrossEntropy(
                    x[0].stored(as: type), head: .product(LinearOperands(weight: x[1], precision: precision)),
                    targets: (0..<x[0].rows).map { Int32($0 * 17) },
                    coefficients: Array(repeating: -1, count: x[0].rows)
                ).loss ?? x[0]
            },
        ]
    }
    + [1, 8].flatMap { rows in
        [DType.f32, .bf16].map { (type: DType) in
            KernelBenchmark(
                name: "decoding product of \(rows) rows, weights in \(type)", rows: rows, plainRows: 1,
                shapes: { [[$0, hidden], [49152, hidden]] }, storage: type
            ) { x, _ in LinearOperands(weight: x[1])(x[0].detached, isDecoding: true) }
        }
    }

private func linearBenchmark(_ name: String, _ precision: Precision, stored: DType) -> KernelBenchmark {
    KernelBenchmark(
        name: "\(name), \(precision), frozen weights in \(stored.rawValue)",
        shapes: { [[$0, hidden], [intermediate, hidden]] }, storage: stored
    ) { x, _ in
        linear(
            x[0].stored(as: precision.activations), through: [LinearOperands(weight: x[1], precision: precision)],
            as: [precision.activations])[0]
    }
}
