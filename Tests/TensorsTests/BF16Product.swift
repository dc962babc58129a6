import CKernels
import Testing

/// A product of made-up numbers.
struct Product: Sendable, CustomTestStringConvertible {
    enum Numbers: Int32 {
        case f32 = 0, bf16, int8 = 3, nf4
    }

    struct Term: Sendable {
        var depth: Int
        var factor: Float = 1
        var a = Numbers.bf16
        var aTransposed = false
        var b = Numbers.bf16
        var bTransposed = false
        /// Whether `a` has the numbers that `b` would have, and the other way round.
        var swapped = false
    }

    let rows, columns: Int
    let terms: [Term]
    let addend: Bool
    let outputs: Numbers

    init(_ rows: Int, _ columns: Int, _ terms: [Term], addend: Bool = false, outputs: Numbers = .f32) {
        (self.rows, self.columns, self.terms, self.addend, self.outputs) = (rows, columns, terms, addend, outputs)
    }

    var testDescription: String { "\(rows) × \(columns), k \(terms.map(\.depth)), \(outputs)" }

    /// The numbers of an operand of a term, before they are stored.
    private func a(_ term: Int) -> [Float] {
        OpCase.numbers(rows * terms[term].depth, seed: UInt64(2 * term + (terms[term].swapped ? 2 : 1)))
    }

    private func b(_ term: Int) -> [Float] {
        OpCase.numbers(columns * terms[term].depth, seed: UInt64(2 * term + (terms[term].swapped ? 1 : 2)))
    }

    private var added: [Float]? { addend ? OpCase.numbers(rows * columns, seed: 99) : nil }

    /// The elements of `rows` in f32; nil where this machine lacks the unit.
    func evaluate(on unit: String, rows selected: Range<Int>? = nil, inPlace: Bool = false) -> [Float]? {
        let selected = selected ?? 0..<rows, count = selected.count * columns
        let operands = terms.enumerated().map { index, term in
            let skipped = term.aTransposed ? 0 : selected.lowerBound * term.depth
            return (StoredNumbers(a(index).dropFirst(skipped), as: term.a), StoredNumbers(b(index), as: term.b))
        }
        let list = zip(terms, operands).map { term, operands in
            product_term(
                a: operands.0.matrix, b: operands.1.matrix, k: Int64(term.depth), factor: term.factor,
                a_transposed: term.aTransposed, b_transposed: term.bTransposed)
        }
        let added = added.map { StoredNumbers($0.dropFirst(selected.lowerBound * columns), as: .f32) }
        let result = inPlace ? added : StoredNumbers([Float](repeating: .nan, count: count), as: outputs)
        guard let result else { return nil }
        return withExtendedLifetime((operands, added)) {
            let out = array(data: result.memory, dtype: outputs.rawValue)
            let addend = added?.memory.assumingMemoryBound(to: Float.self)
            guard graft_matmul_on(unit, out, addend, list, Int32(list.count), Int64(selected.count), Int64(columns))
            else { return nil }
            return result.values
        }
    }

    /// Each element in f64 and the sum of the magnitudes that it is made of, from operands rounded as the contract says.
    func expected() -> [(sum: Double, magnitude: Double)] {
        var result = (added ?? [Float](repeating: 0, count: rows * columns)).map { (Double($0), Double(abs($0))) }
        let isOneFactor = terms.allSatisfy { $0.factor == terms[0].factor }
        for (index, term) in terms.enumerated() {
            let a = StoredNumbers(a(index), as: term.a).values.map { Double($0.bf16) }
            let b = StoredNumbers(b(index), as: term.b).values.map {
                isOneFactor ? Double($0.bf16) * Double(term.factor) : Double((term.factor * $0).bf16)
            }
            for row in 0..<rows {
                for column in 0..<columns {
                    for k in 0..<term.depth {
                        let product =
                            a[term.aTransposed ? k * rows + row : row * term.depth + k]
                            * b[term.bTransposed ? column * term.depth + k : k * columns + column]
                        result[row * columns + column].0 += product
                        result[row * columns + column].1 += abs(product)
                    }
                }
            }
        }
        return result
    }
}

/// Numbers in one of the storage types, in memory that a kernel reads or writes.
final class StoredNumbers {
    let memory: UnsafeMutableRawPointer
    private let scales: UnsafeMutablePointer<Float>
    private let numbers: Product.Numbers
    private let count: Int

    init(_ values: some Collection<Float>, as numbers: Product.Numbers) {
        (self.numbers, count) = (numbers, values.count)
        memory = .allocate(byteCount: max(count * 4, 1), alignment: 64)
        scales = .allocate(capacity: max(count, 1))
        let values = Array(values), table = graft_kernel_table().pointee
        switch numbers {
        case .f32, .bf16: table.convert(memory, numbers.rawValue, values, 0, Int64(count))
        case .int8:
            table.quantize_int8(memory.assumingMemoryBound(to: Int8.self), scales, values, Int64(count), 1)
        case .nf4: table.quantize_nf4(memory.assumingMemoryBound(to: UInt8.self), scales, values, Int64(count))
        }
    }

    deinit {
        memory.deallocate()
        scales.deallocate()
    }

    var matrix: CKernels.matrix {
        CKernels.matrix(
            data: memory, dtype: numbers.rawValue, scales: scales, nested_scales: nil, offset: 0, columns: 1)
    }

    /// What is stored, in f32.
    var values: [Float] {
        let table = graft_kernel_table().pointee
        return [Float](unsafeUninitializedCapacity: count) { values, initialized in
            switch numbers {
            case .f32, .bf16: table.convert(values.baseAddress, 0, memory, numbers.rawValue, Int64(count))
            case .int8, .nf4: table.unpack(values.baseAddress, matrix, 0, Int64(count))
            }
            initialized = count
        }
    }
}

extension Float {
    /// The number rounded to bf16, nearest even; for finite numbers.
    fileprivate var bf16: Float { Float(bitPattern: (bitPattern + 0x7FFF + (bitPattern >> 16 & 1)) & 0xFFFF_0000) }
}
