import CKernels
import Testing

/// Products on the units that multiply bf16, and on their plain twins, which run anywhere: the twins go through the same packing,
/// blocks and tails.
@Suite("bf16 products") struct BF16ProductTests {
    @Test("are the sums of the rounded operands", arguments: units, products)
    func values(_ unit: String, _ product: Product) throws {
        guard let values = product.evaluate(on: unit) else { return }
        for (index, (value, (sum, magnitude))) in zip(values, product.expected()).enumerated() {
            // Chains of f32 additions, then the rounding of the result.
            let allowed = magnitude * 1e-6 + (product.outputs == .bf16 ? abs(sum) * 0x1p-8 : 0)
            try #require(abs(Double(value) - sum) <= allowed, "element \(index): \(value) against \(sum)")
        }
    }

    @Test("give a row the same bits wherever it stands, and on any number of threads", arguments: units)
    func rows(_ unit: String) {
        for product in products where product.terms.allSatisfy({ !$0.aTransposed }) {
            guard let all = product.evaluate(on: unit) else { return }
            let first = product.rows / 3
            let last = product.evaluate(on: unit, rows: first..<product.rows)
            let table = graft_kernel_table().pointee
            let threads = table.threads()
            table.set_threads(threads == 1 ? 3 : 1)
            let again = product.evaluate(on: unit)
            table.set_threads(threads)
            let isSame = (last == Array(all[(first * product.columns)...]), again == all)
            #expect(isSame == (true, true), "\(product)")
        }
    }

    @Test("add to the array that they are added to", arguments: units)
    func accumulation(_ unit: String) {
        for product in products where product.addend && product.outputs == .f32 {
            let isSame = product.evaluate(on: unit) == product.evaluate(on: unit, inPlace: true)
            #expect(isSame, "\(product)")
        }
    }

    @Test("give a thin gradient and its transpose the same bits", arguments: units)
    func thinGradients(_ unit: String) {
        let thin = Product(16, 700, [Product.Term(depth: 3000, aTransposed: true)])
        let tall = Product(700, 16, [Product.Term(depth: 3000, aTransposed: true, swapped: true)])
        guard let values = thin.evaluate(on: unit), let transposed = tall.evaluate(on: unit) else { return }
        let differing = values.indices.filter { values[$0] != transposed[$0 % 700 * 16 + $0 / 700] }
        #expect(differing.count == 0)
    }
}

private let units = ["pairs", "tiles", "avx512bf16", "amx"]

/// Shapes with tails in every direction, on both sides of the sizes at which the division into tasks changes; terms as in a
/// frozen weight with a low-rank update, forward, backward, and in the update's gradients.
private let products = [
    Product(1, 1, [.init(depth: 1)]),
    Product(17, 33, [.init(depth: 31)]),
    Product(
        70, 49, [.init(depth: 96, bTransposed: true), .init(depth: 16, factor: 0.3, bTransposed: true)], addend: true),
    Product(40, 320, [.init(depth: 64), .init(depth: 7, factor: 2)], outputs: .bf16),
    Product(150, 290, [.init(depth: 64, bTransposed: true), .init(depth: 5)], addend: true, outputs: .bf16),
    Product(150, 70, [.init(depth: 40, b: .f32)]),
    Product(600, 45, [.init(depth: 32, factor: 0.7, a: .f32, bTransposed: true)], addend: true),
    Product(300, 16, [.init(depth: 96, b: .f32, bTransposed: true)]),
    Product(40, 20, [.init(depth: 2600, bTransposed: true), .init(depth: 2600)], addend: true),
    Product(16, 70, [.init(depth: 333, factor: 0.5, aTransposed: true)], addend: true),
    Product(70, 16, [.init(depth: 333, a: .f32, aTransposed: true, b: .f32)], addend: true),
    Product(100, 90, [.init(depth: 77, aTransposed: true, b: .f32)]),
    Product(45, 70, [.init(depth: 64, b: .nf4, bTransposed: true), .init(depth: 16, factor: 0.5)]),
    Product(150, 192, [.init(depth: 256, b: .int8, bTransposed: true), .init(depth: 5, b: .nf4)]),
    Product(100, 90, [.init(depth: 300, b: .nf4)], outputs: .bf16),
    Product(20, 300, [.init(depth: 45, b: .int8)]),
    Product(5, 40, [.init(depth: 0)], addend: true),
    Product(3, 4, []),
]
